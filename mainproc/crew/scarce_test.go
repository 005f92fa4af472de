package crew

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// withDescriptors calls f while so many descriptors more can be opened.
func withDescriptors(t *testing.T, n int, f func() error) error {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []int
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil { // not the directory's own
			open = append(open, fd)
		}
	}
	limit := 0 // the first number that cannot be had, with n free ones below it
	for ; n > 0 || slices.Contains(open, limit); limit++ {
		if !slices.Contains(open, limit) {
			n--
		}
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	scarce := was
	scarce.Cur = uint64(limit)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &scarce); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	return f()
}

// TestScarceDescriptors: whatever main cannot have for want of descriptors, it says so,
// and has no more of them than before.
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
		"control groups": func(_ *testing.T, limited func(func() error) error) error {
			return limited(func() error {
				_, tree, err := waysOf(containCgroup, id, log)
				if tree != nil {
					tree.Remove()
				}
				if err != nil && !errors.Is(err, unix.EMFILE) {
					return nil // there are none to be had here
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
			const most = 40
			before, err := openDescriptors()
			if err != nil {
				t.Fatal(err)
			}
			for n := range most {
				err := f(t, func(g func() error) error { return withDescriptors(t, n, g) })
				after, no := openDescriptors()
				if no != nil || after != before {
					t.Errorf("with %d: %d descriptors before, %d after (%v)", n, before, after, err)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, unix.EMFILE) || strings.Contains(err.Error(), "\n") {
					t.Errorf("with %d: %v", n, err)
				}
				t.Logf("%d: %v", n, err)
			}
			t.Errorf("%d are not enough", most)
		})
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}
