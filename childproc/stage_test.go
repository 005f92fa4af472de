package childproc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/loop"
	"erluv/loop/looptest"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// stage is a manager with its starter, and the spawner that the test plays.
type stage struct {
	t     *testing.T
	rng   *rand.Rand
	loop  *loop.Loop
	m     *manager
	c     *client
	fake  *ipc.Conn
	pidfd int // in place of all pidfds
	buf   [4096]byte

	acts    []*act
	byOwner map[etf.Pid]*act
	byPID   map[uint32]*run
	toSay   []saying // to the starter, in order
	started int
	entered int
	left    int
	rounds  int
	ways    map[string]int
	err     error
}

type saying struct {
	m   ipc.Message
	fds []int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, rng: rand.New(rand.NewPCG(8, 9)), byOwner: map[etf.Pid]*act{}, byPID: map[uint32]*run{}, ways: map[string]int{}}
	var err error
	s.loop, err = looptest.New()
	must(t, err)
	ours, theirs, err := ipc.Pair()
	must(t, err)
	s.fake = theirs
	s.pidfd, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	s.m, s.c = playedManager(t, s.loop)
	s.m.starter, err = workers.NewStarter(s.loop, ours, true, 10_000, func(err error) { s.err = err })
	must(t, err)
	t.Cleanup(func() {
		s.loop.Close()
		_ = ours.Close()
		_ = theirs.Close()
		_ = unix.Close(s.pidfd)
	})
	return s
}

func (s *stage) tag() etf.Raw {
	s.entered++
	return etf.Raw(etf.AppendNewRef(nil, testTarget, 9, uint32(s.entered)&0x3ffff, uint32(s.entered>>18), 3))
}

// round causes one event, or none: then time passes.
func (s *stage) round() {
	s.rounds++
	s.hear()
	s.read()
	if s.err != nil {
		return
	}
	if n := s.rng.IntN(8); n < 6 && len(s.acts) > 0 {
		a := s.acts[s.rng.IntN(len(s.acts))]
		if s.rounds-a.since > patientRounds {
			a.fail("it does not end")
		}
		choices := a.choices()
		choices[s.rng.IntN(len(choices))]()
	}
	for n := s.rng.IntN(4); n > 0 && len(s.toSay) > 0; n-- {
		must(s.t, s.fake.Send(ipc.Append(nil, s.toSay[0].m), patience, s.toSay[0].fds...))
		s.toSay = s.toSay[1:]
	}
}

// patientRounds is how many rounds a worker may take, a hundred times as many as most do.
const patientRounds = 100_000

// say sends a message to the starter, sooner or later.
func (s *stage) say(m ipc.Message, fds ...int) { s.toSay = append(s.toSay, saying{m, fds}) }

// hear takes the requests to the spawner.
func (s *stage) hear() {
	for {
		n, fds, err := s.fake.TryRecv(s.buf[:])
		if errors.Is(err, ipc.ErrEmpty) {
			return
		}
		must(s.t, err)
		ipc.CloseAll(fds)
		msg, err := ipc.Decode(s.buf[:n])
		must(s.t, err)
		switch m := msg.(type) {
		case *ipc.Spawn:
			no, _ := strconv.Atoi(strings.TrimPrefix(m.Env[0], "ACT="))
			i := slices.IndexFunc(s.acts, func(a *act) bool { return a.no == no })
			if i < 0 {
				s.err = fmt.Errorf("act %d is over, and its program is asked for", no)
				return
			}
			s.acts[i].ask(m)
		case ipc.SignalGroup:
			p := s.byPID[m.PID]
			if p == nil || !p.alive && p.members == 0 {
				s.say(ipc.GroupSignalled{PID: m.PID, Errno: uint32(unix.ESRCH)})
				continue
			}
			switch sig := unix.Signal(m.Signal); {
			case sig == unix.SIGKILL, sig == unix.SIGTERM && !p.deaf:
				if p.doomed != unix.SIGKILL {
					p.doomed = sig
				}
				p.dying = p.members
			}
			s.say(ipc.GroupSignalled{PID: m.PID})
		default:
			s.err = fmt.Errorf("the spawner is asked %#v", m)
		}
	}
}

// plain returns a term as text.
func plain(t etf.Term) string {
	switch v := t.(type) {
	case etf.Tuple:
		var parts []string
		for _, e := range v {
			parts = append(parts, plain(e))
		}
		return strings.Join(parts, " ")
	case etf.Raw:
		d, _ := etf.Decode(v)
		return plain(d)
	}
	return fmt.Sprint(t)
}

// read takes the frames that were sent to the node.
func (s *stage) read() {
	for s.err == nil && s.c.Waiting() > 0 {
		b := s.c.Unsent()
		size := int(binary.BigEndian.Uint32(b))
		var m dist.Message
		must(s.t, dist.Parse(b[4:4+size], &m))
		s.c.Sent(4 + size)
		a := s.byOwner[m.To]
		switch {
		case m.Op == dist.DemonitorP, m.Op == dist.MonitorP, m.Op == dist.Link, m.To.Serial >= friends:
		case a == nil:
			s.err = fmt.Errorf("after its end: %s", show(m))
		case m.Op == dist.Send:
			t, err := etf.Decode(m.Payload)
			must(s.t, err)
			a.told(t.(etf.Tuple))
		case m.Op == dist.PayloadExit:
			a.down(plain(m.Reason))
		}
	}
	s.c.Commit()
}
