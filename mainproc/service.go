package mainproc

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"erluv/eintr"
	"erluv/mainproc/permit"

	"golang.org/x/sys/unix"
)

const (
	// tellBound is how long one message to the service manager may take. The manager reads the
	// messages of all its services in order.
	tellBound = time.Second

	// statusEvery is the least time between two lines for people.
	statusEvery = time.Second

	// silentRetry is the time after which a silent child is checked again.
	silentRetry = time.Second
)

// serviceVariables are the environment variables of a service manager. They are for main only: the
// manager would take a program's message for main's.
var serviceVariables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// service is the service manager that has started erluv and expects reports, by the protocol of
// sd_notify(3). It belongs to a guard. nil sends no reports.
type service struct {
	tell  func(text string)
	every time.Duration // between two signs of life, half of the manager's timeout
	watch *time.Timer   // nil: the manager expects none

	said  string      // the last line for people
	next  string      // the one that is due with later; "": none is
	at    time.Time   // when the last one was sent
	later *time.Timer // nil: none was ever due later
}

// newService returns the manager that the environment names, or nil. It removes the variables from
// the environment.
func newService(log *slog.Logger) *service {
	address, usec, pid := os.Getenv(serviceVariables[0]), os.Getenv(serviceVariables[1]), os.Getenv(serviceVariables[2])
	for _, name := range serviceVariables {
		_ = os.Unsetenv(name) // fails only for invalid names
	}
	if address == "" {
		return nil
	}
	if address[0] != '/' && address[0] != '@' {
		log.Warn("the service manager cannot be told anything", "NOTIFY_SOCKET", address,
			"error", "it takes the path of a socket, or @ and the name of an abstract one")
		return nil
	}
	s := &service{tell: func(text string) {
		if err := notify(address, text); err != nil {
			log.Warn("the service manager cannot be told", "what", text, "error", err)
		}
	}}
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return s
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n < 2 || n > int64(time.Hour*24*365/time.Microsecond) {
		log.Warn("the service manager's watchdog is not heeded", "WATCHDOG_USEC", usec,
			"error", "it takes microseconds, up to a year")
		return s
	}
	s.every = time.Duration(n) * time.Microsecond / 2
	s.watch = time.NewTimer(s.every)
	return s
}

// notify sends one datagram. The kernel reports its sender (unix(7), SCM_CREDENTIALS), and the
// manager accepts only main's messages.
func notify(address, text string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	bound := unix.NsecToTimeval(tellBound.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &bound); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	// Package unix also takes a name that begins with @ for an abstract one.
	if err := eintr.Sendto(fd, []byte(text), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: address}); err != nil {
		return fmt.Errorf("cannot send to %s: %w", address, os.NewSyscallError("sendto", err))
	}
	return nil
}

// up reports that the node is served.
func (s *service) up(status string) { s.say("READY=1\n", status) }

// status reports a line for people, unless the manager has it. A line that comes too soon after
// another waits.
func (s *service) status(status string) {
	if status = oneLine(status); status == s.said || status == "" {
		s.next = ""
		return
	}
	if wait := statusEvery - time.Since(s.at); wait > 0 {
		if s.next == "" {
			s.wait(wait)
		}
		s.next = status
		return
	}
	s.say("", status)
}

func (s *service) wait(d time.Duration) {
	if s.later == nil {
		s.later = time.NewTimer(d)
	} else {
		s.later.Reset(d)
	}
}

// late returns the channel for a line that waits.
func (s *service) late() <-chan time.Time {
	if s == nil || s.later == nil {
		return nil
	}
	return s.later.C
}

// catchUp sends the line that waits, unless another was sent since.
func (s *service) catchUp() {
	if s.next != "" {
		s.say("", s.next)
	}
}

// leaving reports that erluv ends.
func (s *service) leaving(why string) { s.say("STOPPING=1\n", why) }

func (s *service) say(what, status string) {
	if s == nil {
		return
	}
	s.said, s.next, s.at = oneLine(status), "", time.Now()
	s.tell(what + "STATUS=" + s.said)
}

// oneLine makes one line of any text.
func oneLine(text string) string { return permit.Printable(strings.TrimSpace(text)) }

// due returns the channel for the next sign of life.
func (s *service) due() <-chan time.Time {
	if s == nil || s.watch == nil {
		return nil
	}
	return s.watch.C
}

// sign sends the sign of life if all is well. Otherwise it tries again soon.
func (s *service) sign(well bool) {
	if !well {
		s.watch.Reset(min(s.every, silentRetry))
		return
	}
	s.tell("WATCHDOG=1")
	s.watch.Reset(s.every)
}
