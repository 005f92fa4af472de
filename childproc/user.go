package childproc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"erluv/ipc"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// idleSpawner is how long the spawner of another user stays without a worker.
const idleSpawner = 30 * time.Second

// maxName bounds the name of a user or group, in bytes; Linux's own tools take 32.
const maxName = 256

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
	s, ok := envName(v)
	return s, ok && s != "" && len(s) <= maxName && strings.IndexByte(s, 0) < 0
}

func optAccount(to *string, v etf.Term) error {
	name, ok := accountName(v)
	if !ok {
		return errors.New("must be a name, as a binary, string or atom, or a number")
	}
	*to = name
	return nil
}

// maxGroups bounds a list of groups: Linux takes no more for a process.
const maxGroups = 65536

func optGroups(to *whom, v etf.Term) error {
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

// settleUser finds out whom an order's program runs as. An error says why not.
func (m *manager) settleUser(o *order) etf.Term {
	n, refused, reason := o.whom.among(m.start.Allowed)
	if reason != nil {
		return reason
	}
	o.user, o.spec.Refused = n, refused
	if o.login && refused == "" {
		o.env.login(m.start.Allowed[n])
	}
	o.spec.Env = o.env.list()
	return nil
}

// starterOf is the Starter of an allowed user; the first is the child's own.
func (m *manager) starterOf(user int) *workers.Starter {
	if user == 0 {
		return m.starter
	}
	if m.others[user] == nil {
		m.others[user] = m.starter.ForUser(func() { m.want(uint8(user)) }, idleSpawner)
	}
	return m.others[user]
}

// spawnerOf tells of the spawner of another user, whom main has given one, or has not.
func (m *manager) spawnerOf(msg ipc.Spawner, conn *ipc.Conn) error {
	s := m.others[int(msg.User)]
	if s == nil {
		return fmt.Errorf("main sent a spawner for user %d, which nobody wanted", msg.User)
	}
	if conn == nil {
		delete(m.otherPIDs, int(msg.User))
		s.Gone()
		return nil
	}
	m.otherPIDs[int(msg.User)] = msg.PID
	s.Join(conn, msg.Leaves, msg.Limits)
	return nil
}

// allowed is what info says of those whom programs may be run as besides the child's
// own user.
func (m *manager) allowed() (list []stat.User) {
	for i, a := range m.start.Allowed {
		if i == 0 {
			continue
		}
		u := stat.User{Name: a.User, UID: a.UID, Group: a.Groups[0].Name, GID: a.Groups[0].GID, SpawnerPID: int(m.otherPIDs[i])}
		for _, g := range a.Groups[1:] {
			u.Groups = append(u.Groups, g.Name)
		}
		list = append(list, u)
	}
	return list
}

// userFailure is why a program could not be run as a user.
func userFailure(e unix.Errno) etf.Term {
	var why etf.Term
	switch e {
	case unix.ENOENT:
		why = etf.Atom("unknown")
	case unix.EPERM:
		why = etf.Atom("not_allowed")
	default:
		why = gen.Errno(e)
	}
	return etf.Tuple{etf.Atom("user"), why}
}
