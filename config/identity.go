package config

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// resolve looks up the accounts. It reports each problem for the key that it comes from.
func (c *Config) resolve(problem func(key string, err error)) {
	if c.machine.UID != 0 {
		c.RunAs = Identity{UID: c.machine.UID, GID: c.machine.GID}
		c.RunAs.User, c.RunAs.Group = userName(c.RunAs.UID), groupName(c.RunAs.GID)
		if u, err := user.LookupId(strconv.Itoa(c.RunAs.UID)); err == nil {
			c.RunAs.Home, c.RunAs.Shell = u.HomeDir, shellOf(u.Username)
		}
	} else if who, err := identity(c.User); err != nil {
		problem("user", err)
	} else {
		c.RunAs = who
	}
	if c.Group != "" {
		if gid, err := groupID(c.Group); err != nil {
			problem("group", err)
		} else if c.machine.UID == 0 {
			c.RunAs.Group, c.RunAs.GID = c.Group, gid
		}
	} else if c.RunAs.GID == 0 && c.machine.UID == 0 && c.RunAs.User != "" {
		problem("user", errors.New("is in root's group; name another with group"))
	}
	if c.machine.UID != 0 && c.isSet("user") {
		if _, err := identity(c.User); err != nil {
			problem("user", err)
		}
	}
	if err := c.allow(); err != nil {
		problem("allow_users", err)
	}
}

var (
	errNobody = errors.New("is not in the user database")
	errRoot   = errors.New("is root, which no program may run as")
)

// identity returns a user other than root, with the group in the user database.
func identity(name string) (Identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if _, unknown := err.(user.UnknownUserError); unknown {
			return Identity{}, errNobody
		}
		return Identity{}, fmt.Errorf("cannot be looked up: %w", err)
	}
	who, err := identityOf(u)
	if err == nil && who.UID == 0 {
		return Identity{}, errRoot
	}
	return who, err
}

// identityOf returns the entry of the user database.
func identityOf(u *user.User) (who Identity, err error) {
	who = Identity{User: u.Username, Home: u.HomeDir, Shell: shellOf(u.Username)}
	if who.UID, err = strconv.Atoi(u.Uid); err != nil {
		return Identity{}, fmt.Errorf("has the user id %q", u.Uid)
	}
	if who.GID, err = strconv.Atoi(u.Gid); err != nil {
		return Identity{}, fmt.Errorf("has the group id %q", u.Gid)
	}
	who.Group = groupName(who.GID)
	return who, nil
}

func groupID(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		if _, unknown := err.(user.UnknownGroupError); unknown {
			return 0, errors.New("is not in the group database")
		}
		return 0, fmt.Errorf("cannot be looked up: %w", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	switch {
	case err != nil:
		return 0, fmt.Errorf("has the group id %q", g.Gid)
	case gid == 0:
		return 0, errors.New("is root's group, which no program may run in")
	}
	return gid, nil
}

// userName and groupName return the number if there is no name.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// userNames lists users, for errors about the owner of a file.
func userNames(uids []int) string {
	names := make([]string, len(uids))
	for i, uid := range uids {
		names[i] = userName(uid)
	}
	return strings.Join(slices.Compact(names), " or ")
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}
