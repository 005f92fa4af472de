package config

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// An Allowed is an entry of allow_users: a user that workers may run as. The group of its Identity
// is the primary one. Groups are the supplementary ones, with their numbers.
type Allowed struct {
	Identity
	Groups []Group
}

// A Group is a group of the group database. If it is not there, its name is its number.
type Group struct {
	Name string
	GID  int
}

const (
	// maxAllowed bounds allow_users: main may start a process for each entry.
	maxAllowed = 64

	// maxGroups bounds the groups of an entry, as NFS and most databases do.
	maxGroups = 64
)

// parseAllowed parses entries with spaces between them: user, user:group or user:group,group,...
// Whether these exist is checked when all values are known.
func parseAllowed(v string) ([]string, error) {
	if v == "" {
		return nil, nil
	}
	entries := strings.Split(v, " ")
	if len(entries) > maxAllowed {
		return nil, fmt.Errorf("has more than %d users", maxAllowed)
	}
	for i, entry := range entries {
		name, groups, given := strings.Cut(entry, ":")
		names := []string{name}
		if given {
			names = append(names, strings.Split(groups, ",")...)
		}
		for _, name := range names {
			if err := checkAccount(name); err != nil {
				return nil, fmt.Errorf("has a name that %w", err)
			}
		}
		if len(names) > 1+maxGroups {
			return nil, fmt.Errorf("has a user with more than %d groups", maxGroups)
		}
		if slices.Contains(entries[:i], entry) {
			return nil, fmt.Errorf("has %q twice", entry)
		}
	}
	return entries, nil
}

// allow looks up the entries of AllowUsers. Only the name of root, or 0, means root.
func (c *Config) allow() error {
	c.Allowed = nil
	if len(c.AllowUsers) > 0 && c.machine.UID != 0 {
		return fmt.Errorf("has no effect, for only root can become another, and this is %s: start erluv as root, or leave the key out", c.RunAs.User)
	}
	for _, entry := range c.AllowUsers {
		name, groups, given := strings.Cut(entry, ":")
		var names []string
		if given {
			names = strings.Split(groups, ",")
		}
		a, err := allowed(name, names)
		if err != nil {
			return fmt.Errorf("names %q, %w", entry, err)
		}
		c.Allowed = append(c.Allowed, a)
	}
	return nil
}

// allowed returns the entry of a user with these groups. If there are none, the entry has the
// groups of the databases.
func allowed(name string, groups []string) (a Allowed, err error) {
	u, err := lookUser(name)
	uid, notNumber := strconv.ParseUint(name, 10, 32)
	switch {
	case err == nil:
		if a.Identity, err = identityOf(u); err != nil {
			return a, fmt.Errorf("who %w", err)
		}
	case errors.Is(err, errNobody) && notNumber == nil && len(groups) > 0:
		a.Identity = Identity{User: name, UID: int(uid)}
	case errors.Is(err, errNobody) && notNumber == nil:
		return a, fmt.Errorf("who %w: name groups too, as in %s:%s", err, name, name)
	default:
		return a, fmt.Errorf("who %w", err)
	}
	if a.UID == 0 && name != "root" && name != "0" {
		return a, fmt.Errorf("who is root under another name: write root if root is meant")
	}
	if len(groups) > 0 {
		a.Groups, err = lookGroups(groups)
		if err != nil {
			return a, err
		}
		a.Group, a.GID = a.Groups[0].Name, a.Groups[0].GID
		a.Groups = a.Groups[1:]
	} else if a.Groups, err = groupsOf(u, a.GID); err != nil {
		return a, err
	}
	isRoots := func(g Group) bool { return g.GID == 0 }
	if len(groups) == 0 && a.UID != 0 && (a.GID == 0 || slices.ContainsFunc(a.Groups, isRoots)) {
		return a, fmt.Errorf("who is in root's group: name the groups, as in %s:users", name)
	}
	slices.SortFunc(a.Groups, func(a, b Group) int { return a.GID - b.GID })
	a.Groups = slices.CompactFunc(a.Groups, func(a, b Group) bool { return a.GID == b.GID })
	return a, nil
}

// lookUser finds a user by name, or else by number.
func lookUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if _, unknown := err.(user.UnknownUserError); unknown {
		u, err = user.LookupId(name)
	}
	if err == nil {
		return u, nil
	}
	_, unknown := err.(user.UnknownUserIdError)
	if _, isNumber := strconv.Atoi(name); unknown || isNumber != nil {
		return nil, errNobody
	}
	return nil, fmt.Errorf("cannot be looked up: %w", err)
}

// lookGroups finds groups by their names, or else by their numbers.
func lookGroups(names []string) (list []Group, err error) {
	for _, name := range names {
		g, err := user.LookupGroup(name)
		if err == nil {
			gid, err := strconv.Atoi(g.Gid)
			if err != nil {
				return nil, fmt.Errorf("whose group %s has the number %q", name, g.Gid)
			}
			list = append(list, Group{name, gid})
			continue
		}
		gid, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("whose group %s is not in the group database", name)
		}
		list = append(list, Group{groupName(int(gid)), int(gid)})
	}
	return list, nil
}

// groupsOf returns the groups of a user besides the primary one.
func groupsOf(u *user.User, primary int) (list []Group, err error) {
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("whose groups cannot be looked up: %w", err)
	}
	for _, id := range ids {
		gid, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("who is in a group with the number %q", id)
		}
		if gid != primary {
			list = append(list, Group{groupName(gid), gid})
		}
	}
	if len(list) > maxGroups {
		return nil, fmt.Errorf("who is in more than %d groups: name those that count, as in user:group,group", maxGroups)
	}
	return list, nil
}

// passwd is the user database. Package os/user does not return the shell.
const passwd = "/etc/passwd"

// shellOf returns a user's shell (passwd(5)), or "" if it is unknown.
func shellOf(name string) string {
	text, err := os.ReadFile(passwd)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(f) == 7 && f[0] == name {
			return f[6]
		}
	}
	return ""
}
