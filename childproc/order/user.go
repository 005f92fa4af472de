package order

import (
	"errors"
	"strconv"
	"strings"

	"erluv/ipc"
	"erluv/wire/etf"
)

const (
	// maxName bounds the name of a user or group, in bytes; Linux's own tools take 32.
	maxName = 256

	// maxGroups bounds a list of groups: Linux takes no more for a process.
	maxGroups = 65536
)

// whom is what a request says of whom its program is to run as. "" is nothing said.
type whom struct {
	user, group string
	groups      []string
	listed      bool // groups were given
}

// accountName reads the name of a user or group, or its number.
func accountName(v etf.Term) (string, bool) {
	if n, ok := v.(int64); ok && n >= 0 && n < 1<<32 {
		return strconv.FormatInt(n, 10), true
	}
	s, ok := nameOf(v)
	return s, ok && s != "" && len(s) <= maxName && strings.IndexByte(s, 0) < 0
}

func toAccount(to *string, v etf.Term) error {
	name, ok := accountName(v)
	if !ok {
		return errors.New("must be a name, as a binary, string or atom, or a number")
	}
	*to = name
	return nil
}

func toGroups(to *whom, v etf.Term) error {
	bad := errors.New("must be a list of names, as binaries, strings or atoms, or numbers")
	list, ok := etf.Elements(v)
	if !ok || len(list) > maxGroups {
		return bad
	}
	to.listed, to.groups = true, nil
	for _, t := range list {
		name, ok := accountName(t)
		if !ok {
			return bad
		}
		to.groups = append(to.groups, name)
	}
	return nil
}

// RunAs finds out whom the program runs as, and completes its environment. A reason says
// why the order cannot be done. A user that is not allowed is only noted: the spawner
// says whether there is such a user.
func (o *Order) RunAs(allowed []ipc.Allowed) (reason etf.Term) {
	if o.Class != nil {
		o.User, o.Spec.Env = int(o.Class.User), o.Class.Env
		return nil
	}
	n, refused, reason := o.whom.among(allowed)
	if reason != nil {
		return reason
	}
	o.User, o.Spec.Refused = n, refused
	if o.login && refused == "" {
		o.env.login(allowed[n])
	}
	o.Spec.Env = o.env.list()
	return nil
}

// among finds the first of those that are allowed who is meant. Without one either the
// user is refused, of whom then is to be found out whether there is one, or the groups
// are, with the error's reason.
func (w whom) among(list []ipc.Allowed) (n int, refused string, reason etf.Term) {
	if w.user == "" && w.group == "" && !w.listed {
		return 0, "", nil
	}
	user, group := false, false
	for i, a := range list {
		if !is(w.user, a.User, a.UID) && (w.user != "" || a.UID != list[0].UID) {
			continue
		}
		user = true
		if w.group != "" && !is(w.group, a.Groups[0].Name, a.Groups[0].GID) {
			continue
		}
		group = true
		if !w.listed || sameGroups(w.groups, a.Groups[1:]) {
			return i, "", nil
		}
	}
	switch {
	case !user:
		return 0, w.user, nil
	case !group:
		return 0, "", etf.Tuple{etf.Atom("group"), etf.Atom("not_allowed")}
	}
	return 0, "", etf.Tuple{etf.Atom("groups"), etf.Atom("not_allowed")}
}

// is says whether a name or a number is meant by what was said.
func is(said, name string, id uint32) bool {
	return said != "" && (said == name || said == strconv.FormatUint(uint64(id), 10))
}

// sameGroups says whether the names stand for the groups, in any order.
func sameGroups(names []string, groups []ipc.Group) bool {
	met := make(map[uint32]bool)
	for _, name := range names {
		before := len(met)
		for _, g := range groups {
			if is(name, g.Name, g.GID) && !met[g.GID] {
				met[g.GID] = true
				break
			}
		}
		if len(met) == before {
			return false
		}
	}
	return len(met) == len(groups)
}
