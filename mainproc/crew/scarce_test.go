package crew

import (
	"errors"
	"log/slog"
	"testing"

	"erluv/ipc"
	"erluv/sandbox"
	"erluv/test/scarce"

	"golang.org/x/sys/unix"
)

// TestScarceDescriptors: main reports each failure for lack of descriptors, and then has no more of
// them than before.
func TestScarceDescriptors(t *testing.T) {
	id := testID()
	log := slog.New(slog.DiscardHandler)
	s, err := newStarter(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	with := settings{
		host: &host{}, child: ipc.Start{Controller: "erluv"}, spawner: ipc.StartSpawner{Path: []string{"/bin"}},
		ways: []containment{{name: containGroup}}, log: log,
	}
	start := func(t *testing.T) *Crew {
		r, err := launch(t.Context(), s, id, with)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	discard := func(r *Crew) {
		r.Kill()
		_, _ = r.child.reap(), r.spawner.reap()
		r.Close()
	}
	here, _, err := sandbox.Choose(sandbox.Auto)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(t *testing.T, limited func(func() error) error) error{
		"the starting thread": func(_ *testing.T, limited func(func() error) error) error {
			if !here.Has(sandbox.Scope) {
				return nil // needs none
			}
			return limited(func() error {
				s, err := newStarter(here)
				if err == nil {
					s.close()
				}
				return err
			})
		},
		"roles": func(t *testing.T, limited func(func() error) error) error {
			return limited(func() error {
				r, err := launch(t.Context(), s, id, with)
				if err == nil {
					discard(r)
				}
				return err
			})
		},
		"what they serve with": func(t *testing.T, limited func(func() error) error) error {
			r := start(t)
			defer discard(r)
			l, end := connect(t)
			defer end()
			return limited(func() error { return r.Hand(t.Context(), l) })
		},
		"another spawner": func(t *testing.T, limited func(func() error) error) error {
			r := start(t)
			defer discard(r)
			l, end := connect(t)
			defer end()
			if err := r.Hand(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			return limited(func() error {
				p, err := r.another()
				if err == nil {
					p.discard()
				}
				return err
			})
		},
		"a relay": func(t *testing.T, limited func(func() error) error) error {
			ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer ipc.CloseAll(ends[:])
			relays := newRelays(s, false, id)
			defer relays.Close()
			given := copies(ends[1], ends[1], ends[1], ends[1])
			return limited(func() error {
				relay, err := relays.Start(t.Context(), ipc.StartRelay{ServerName: "serves"}, given...)
				if err == nil {
					<-relay.Close(nil)
				}
				return err
			})
		},
		"control groups": func(_ *testing.T, limited func(func() error) error) error {
			return limited(func() error {
				_, tree, err := waysOf(containCgroup, id, log)
				if tree != nil {
					tree.Remove()
				}
				if err != nil && !errors.Is(err, unix.EMFILE) {
					return nil // this machine allows no groups
				}
				return err
			})
		},
		"all of it": func(_ *testing.T, limited func(func() error) error) error {
			return limited(func() error {
				l, err := NewLauncher(Settings{Identity: id, Parts: here, Contain: containGroup, Users: []User{{}}, Log: log})
				if err == nil {
					l.Close()
				}
				return err
			})
		},
		"orphans": func(_ *testing.T, limited func(func() error) error) error {
			return limited(func() error { return endOrphans(4711, sparesNone) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			scarce.Try(t, func(limited func(func() error) error) error { return f(t, limited) })
		})
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}
