package epmd

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeEPMD answers each attempt as its next step says, and records the time of the attempt. It runs
// in a bubble of synctest, whose clock begins at start.
type fakeEPMD struct {
	t     *testing.T
	steps []string // "refused", "silent", "taken", "junk", or how long the node is registered
	start time.Time
	at    []time.Duration
}

func (f *fakeEPMD) dial(_ context.Context, _ string) (net.Conn, error) {
	f.at = append(f.at, time.Since(f.start))
	step := f.steps[min(len(f.at), len(f.steps))-1]
	if step == "refused" {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	go f.serve(theirs, step) // ends with the connection
	return ours, nil
}

func (f *fakeEPMD) serve(conn net.Conn, step string) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 2+13+len("node"))); err != nil {
		f.t.Errorf("request: %v", err)
	}
	switch step {
	case "silent":
	case "taken":
		_, _ = io.WriteString(conn, "v\x01\x00\x00\x00c")
	case "junk":
		_, _ = io.WriteString(conn, "junk")
	default:
		held, err := time.ParseDuration(step)
		if err != nil {
			f.t.Error(err)
		}
		_, _ = io.WriteString(conn, "v\x00\x00\x00\x00\x07")
		_ = conn.SetReadDeadline(time.Now().Add(held))
	}
	_, _ = conn.Read(make([]byte, 1)) // until the node goes, or it is to end
}

// keep runs a Keeper for so long. It returns the times of the attempts and the calls of Tell.
func keep(t *testing.T, during time.Duration, steps ...string) (at []time.Duration, told []string) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeEPMD{t: t, steps: steps, start: time.Now()}
		k := Keeper{Addr: "epmd", Name: "node", Port: 1, dial: f.dial, Tell: func(err error) {
			switch {
			case err == nil:
				told = append(told, "registered")
			case errors.Is(err, ErrTaken):
				told = append(told, "taken")
			case strings.Contains(err.Error(), "EPMD has ended"):
				told = append(told, "lost")
			default:
				told = append(told, "absent")
			}
		}}
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		k.Run(ctx)
		if late := time.Since(f.start) - during; late != 0 {
			t.Errorf("%v: Run ends %v late", steps, late)
		}
		at = f.at
		synctest.Wait() // all connections are closed, or the bubble says so
	})
	return at, told
}

const ms = time.Millisecond

func TestKeeper(t *testing.T) {
	for name, c := range map[string]struct {
		steps []string
		at    []time.Duration
		told  []string
	}{
		"registered for ever": {[]string{"1000h"}, []time.Duration{0}, []string{"registered"}},
		"no EPMD": {
			[]string{"refused"},
			[]time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 5100 * ms, 7100 * ms, 9100 * ms},
			[]string{"absent"},
		},
		"EPMD comes": {[]string{"refused", "refused", "1000h"}, []time.Duration{0, 100 * ms, 300 * ms}, []string{"absent", "registered"}},
		"EPMD is started anew": {
			[]string{"5s", "refused", "refused", "1000h"},
			[]time.Duration{0, 5100 * ms, 5300 * ms, 5700 * ms},
			[]string{"registered", "lost", "registered"},
		},
		"the pauses begin anew after a while": {
			[]string{"refused", "refused", "refused", "5s", "refused", "1000h"},
			[]time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 5800 * ms, 6 * time.Second},
			[]string{"absent", "registered", "lost", "registered"},
		},
		"EPMD takes the node and ends at once": {
			[]string{"0s"},
			[]time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 5100 * ms, 7100 * ms, 9100 * ms},
			slices.Repeat([]string{"registered", "lost"}, 9),
		},
		"the name becomes free": {
			[]string{"taken", "taken", "1000h"},
			[]time.Duration{0, 100 * ms, 300 * ms},
			[]string{"taken", "registered"},
		},
		"another node takes the name meanwhile": {
			[]string{"5s", "refused", "taken", "taken", "1000h"},
			[]time.Duration{0, 5100 * ms, 5300 * ms, 5700 * ms, 6500 * ms},
			[]string{"registered", "lost", "taken", "registered"},
		},
		"silent": {[]string{"silent", "1000h"}, []time.Duration{0, 10*time.Second + 100*ms}, []string{"absent", "registered"}},
		"junk":   {[]string{"junk", "1000h"}, []time.Duration{0, 100 * ms}, []string{"absent", "registered"}},
	} {
		during := 10 * time.Second
		if name == "silent" {
			during = 20 * time.Second
		}
		at, told := keep(t, during, c.steps...)
		if !slices.Equal(at, c.at) || !slices.Equal(told, c.told) {
			t.Errorf("%s: attempts at %v, want %v; told %q, want %q", name, at, c.at, told, c.told)
		}
	}
}

// A Keeper ends with its context at any moment, and does not call Tell for that.
func TestKeeperEnds(t *testing.T) {
	for _, c := range []struct {
		step   string
		during time.Duration
		told   []string
	}{
		{"1000h", time.Second, []string{"registered"}},
		{"silent", time.Second, nil},
		{"refused", 50 * ms, []string{"absent"}},
	} {
		if _, told := keep(t, c.during, c.step); !slices.Equal(told, c.told) {
			t.Errorf("%s: told %q, want %q", c.step, told, c.told)
		}
	}
}
