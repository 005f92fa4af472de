package spawner

import (
	"fmt"

	"erluv/eintr"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// spare are rules of Landlock that keep each program from changing control groups. They
// name what may be changed, so they are made again when something was mounted, or the root
// directory has other entries. A program goes on with those that it was started with.
type spare struct {
	rules  int // 0: there are none
	mounts int // the file mountinfo, which poll(2) tells of a change (proc(5))
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

// changed says whether anything has, since it was asked last.
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

// renew gives the rules as they should be now. What cannot be made again stays.
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
