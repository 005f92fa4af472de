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
	// tellBound is how long one message to the service manager may take: it reads
	// them in the order of all its services.
	tellBound = time.Second

	// silentRetry is how soon a child that was silent is looked at again.
	silentRetry = time.Second
)

// serviceVariables are what a service manager puts into the environment. They are
// for main: what programs say there would be taken for its word.
var serviceVariables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// service is the service manager that has started erluv and wants to be told how it
// does, by the protocol of sd_notify(3). It belongs to a guard. nil tells nobody.
type service struct {
	tell  func(text string)
	every time.Duration // between two signs of life: half of what it waits for
	watch *time.Timer   // nil: it waits for none
}

// newService is the manager that the environment names, or nil, and takes it out of
// the environment.
func newService(log *slog.Logger) *service {
	address, usec, pid := os.Getenv(serviceVariables[0]), os.Getenv(serviceVariables[1]), os.Getenv(serviceVariables[2])
	for _, name := range serviceVariables {
		_ = os.Unsetenv(name) // fails for names that cannot be
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

// notify sends one datagram. Its sender is the kernel's to say (unix(7),
// SCM_CREDENTIALS): the manager listens to main alone.
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
	// A name that begins with @ is an abstract one to package unix as well.
	if err := eintr.Sendto(fd, []byte(text), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: address}); err != nil {
		return fmt.Errorf("cannot send to %s: %w", address, os.NewSyscallError("sendto", err))
	}
	return nil
}

// up: the node is served.
func (s *service) up(format string, args ...any) { s.say("READY=1\n", format, args...) }

// status is a line for people.
func (s *service) status(format string, args ...any) { s.say("", format, args...) }

// leaving: erluv ends.
func (s *service) leaving(why string) { s.say("STOPPING=1\n", "%s", why) }

func (s *service) say(what, format string, args ...any) {
	if s != nil {
		// A line of its own, whatever is in it.
		s.tell(what + "STATUS=" + permit.Printable(strings.TrimSpace(fmt.Sprintf(format, args...))))
	}
}

// due is when a sign of life is.
func (s *service) due() <-chan time.Time {
	if s == nil || s.watch == nil {
		return nil
	}
	return s.watch.C
}

// sign gives the sign of life that is due, if all is well.
func (s *service) sign(well bool) {
	if !well {
		s.watch.Reset(min(s.every, silentRetry))
		return
	}
	s.tell("WATCHDOG=1")
	s.watch.Reset(s.every)
}
