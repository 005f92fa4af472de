package childproc

import (
	"fmt"
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

// starterOf is the Starter of an allowed user; the first is the child's own.
func (m *manager) starterOf(user int) *workers.Starter {
	if user == 0 {
		return m.starter
	}
	if m.others[user] == nil {
		m.others[user] = m.starter.ForUser(func() { m.main.wantSpawner(uint8(user)) }, idleSpawner)
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
