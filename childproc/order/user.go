package order

import (
	"errors"
	"strconv"
	"strings"

	"erluv/ipc"
	"erluv/wire/etf"
)

const (
	// maxName is the longest name of a user or group, in bytes. Linux's own tools accept 32.
	maxName = 256

	// maxGroups is the longest list of groups: Linux accepts no more for a process.
	maxGroups = 65536
)

// An account that a request names for its program. "" means that it names none.
type whom struct {
	user, group string
	groups      []string
	listed      bool // groups were given
}

// accountName reads the name or number of a user or group.
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

// RunAs finds the account of the program, and completes its environment. A reason says why the
// order cannot be carried out. A user that is not allowed is only noted, because the spawner knows
// whether that user exists.
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

// among returns the first allowed account that matches. If the user matches none, refused is its
// name, for the spawner to look up. If the group or groups match none, reason is the error's.
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

// is reports whether a request means an account with this name and number.
func is(said, name string, id uint32) bool {
	return said != "" && (said == name || said == strconv.FormatUint(uint64(id), 10))
}

// sameGroups reports whether the names stand for exactly these groups, in any order.
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
