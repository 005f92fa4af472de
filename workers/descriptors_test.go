package workers_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"erluv/workers"

	"golang.org/x/sys/unix"
)

// TestNoDescriptorOfOurs starts ten thousand programs of all kinds, five hundred at once. Each must
// have the requested descriptors and no others, and no two may share a pipe.
func TestNoDescriptorOfOurs(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		look := &looker{w: w, dir: publicDir(t), pipes: map[string]string{}}
		for done := 0; done < repeats(5000) && !t.Failed(); done += 500 {
			var all [500]*run
			for i := range all {
				all[i] = w.start(look.spec(done + i))
			}
			for i, r := range all {
				w.await("its list", func() bool { return r.over() || len(r.out[workers.Stdout]) > 0 })
				look.check(done+i, r)
			}
			w.do(func() {
				for _, r := range all {
					_ = r.Write([]byte("\n"), 1) // an error means that it has ended already
				}
			})
			for _, r := range all {
				w.finish(r).want("exit 0")
			}
		}
	})
}

// looker knows which descriptors each program must have. In kinds, the digit is the descriptor's
// number. The letter is p for a pipe that no other descriptor has, t for the terminal, or n for the
// null device. The letter f means a file, and an equals sign the same as the descriptor before.
type looker struct {
	w     *world
	dir   string
	pipes map[string]string // the program of each pipe
}

// kinds are the kinds of program i, by i modulo their number.
var kinds = []string{
	"0p 1p 2p", "0t 1= 2=", "0n 1p 2n", "0p 1p 2=", "0n 1p 2f", "0p 1p 2p", "0p 1p 2n 3p 5p 9n", "0t 1= 2= 4p",
}

func (l *looker) spec(i int) *workers.Spec {
	sp := command(prog, "fds")
	sp.Env = []string{"GODEBUG=containermaxprocs=0"}
	if i%50 == 0 { // its start takes longer
		sp.Attributes.SetNice, sp.Attributes.Nice = true, 1
	}
	for _, d := range strings.Fields(kinds[i%len(kinds)]) {
		no := workers.Stream(d[0] - '0')
		st := workers.StreamSpec{}
		switch d[1] {
		case 't':
			on(sp, raw()...)
		case 'n':
			st.Kind = workers.Null
		case 'f':
			st = workers.StreamSpec{Kind: workers.File, Path: l.dir + "/file", Mode: 0o644}
		case '=':
			if no == workers.Stderr {
				st.Kind = workers.ToStdout
			}
		}
		if no <= workers.Stderr {
			sp.Streams[no] = st
		} else {
			sp.Extra = append(sp.Extra, workers.Extra{FD: no, Input: no == 5, StreamSpec: st})
		}
	}
	return sp
}

// check compares the number, type and inode of each descriptor in a program's output.
func (l *looker) check(i int, r *run) {
	t := l.w.t
	t.Helper()
	var out string
	l.w.do(func() { out = strings.ReplaceAll(r.stdout(), "\r", "") })
	var got []string
	last := ""
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		no, what, _ := strings.Cut(lines.Text(), " ")
		kind := l.kind(what)
		if what == last {
			kind = "="
		} else if kind == "p" {
			name := fmt.Sprintf("descriptor %s of program %d", no, i)
			if other := l.pipes[what]; other != "" {
				t.Errorf("%s is %s", name, other)
			}
			l.pipes[what] = name
		}
		last = what
		got = append(got, no+kind)
	}
	if g, want := strings.Join(got, " "), kinds[i%len(kinds)]; g != want {
		t.Errorf("program %d has %q, want %q: %s %s", i, g, want, r, out)
	}
}

// kind returns the kind of a descriptor with a type in octal, a device and an inode.
func (l *looker) kind(what string) string {
	switch {
	case what == named(os.DevNull):
		return "n"
	case what == named(l.dir+"/file"):
		return "f"
	case strings.HasPrefix(what, fmt.Sprintf("%o ", unix.S_IFIFO)):
		return "p"
	case strings.HasPrefix(what, fmt.Sprintf("%o ", unix.S_IFCHR)):
		return "t"
	}
	return "?"
}

// named is how prog prints a file.
func named(path string) string {
	var st unix.Stat_t
	_ = unix.Stat(path, &st)
	return fmt.Sprintf("%o %d %d", st.Mode&unix.S_IFMT, st.Dev, st.Ino)
}
