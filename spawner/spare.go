package spawner

import (
	"fmt"

	"erluv/eintr"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// spare has the Landlock rules that keep programs from changing control groups. The rules list
// everything that may be changed. So the spawner makes them again after a mount, or when the
// entries of the root directory change. A running program keeps the rules of its start.
type spare struct {
	rules  int // 0: none
	mounts int // the file mountinfo, whose changes poll(2) reports (proc(5))
	root   unix.Timespec
}

func newSpare(wanted bool) (s spare, err error) {
	if !wanted {
		return spare{}, nil
	}
	if s.mounts, err = eintr.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return spare{}, fmt.Errorf("cannot open /proc/self/mountinfo: %w", err)
	}
	s.changed()
	s.rules, err = sandbox.Rules{SpareGroups: true}.Ruleset()
	return s, err
}

// changed reports whether mounts or the root directory have changed since the last call.
func (s *spare) changed() bool {
	var st unix.Stat_t
	before := s.root
	if eintr.Stat("/", &st) == nil {
		s.root = st.Mtim
	}
	fds := []unix.PollFd{{Fd: int32(s.mounts), Events: unix.POLLPRI}}
	n := 0
	_ = eintr.Do(func() (err error) {
		n, err = unix.Poll(fds, 0)
		return err
	})
	return n > 0 || s.root != before
}

// renew returns the current rules. If it cannot make new ones, it returns the old.
func (s *spare) renew() int {
	if s.rules == 0 || !s.changed() {
		return s.rules
	}
	if rules, err := (sandbox.Rules{SpareGroups: true}).Ruleset(); err == nil {
		_ = unix.Close(s.rules)
		s.rules = rules
	}
	return s.rules
}
