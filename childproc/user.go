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

// idleSpawner is how long the spawner of another user may be idle.
const idleSpawner = 30 * time.Second

// starterOf returns the Starter of an allowed user. User 0 is the child's own.
func (m *manager) starterOf(user int) *workers.Starter {
	if user == 0 {
		return m.starter
	}
	if m.others[user] == nil {
		m.others[user] = m.starter.ForUser(func() { m.main.wantSpawner(uint8(user)) }, idleSpawner)
	}
	return m.others[user]
}

// spawnerOf takes main's answer about the spawner of another user: its conversation, or nil if
// there is none.
func (m *manager) spawnerOf(msg ipc.Spawner, conn *ipc.Conn) error {
	s := m.others[int(msg.User)]
	if s == nil {
		return fmt.Errorf("main sent a spawner for user %d that was not requested", msg.User)
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

// allowed describes, for info, the users that programs may run as besides the child's own.
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

// userFailure is the reason why a program could not run as a user.
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
