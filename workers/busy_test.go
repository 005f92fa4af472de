package workers_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"erluv/workers"

	"golang.org/x/sys/unix"
)

// TestBusyProgram starts a program whose file is still open for writing. It starts when the file is
// closed, with all input written before. It does not start if the file stays open, or if it was
// stopped meanwhile.
func TestBusyProgram(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		image, err := os.ReadFile("/bin/cat")
		if err != nil {
			t.Fatal(err)
		}
		path := file(t, publicDir(t), "program", string(image), 0o755)
		busy := func() *os.File {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		for name, sp := range map[string]*workers.Spec{
			"pipes":      command(path),
			"a terminal": on(command(path), raw()...),
			"by exec":    command(path),
		} {
			t.Run(name, func(t *testing.T) {
				if name == "by exec" {
					sp.Attributes.Nice, sp.Attributes.SetNice = 1, true
				}
				f := busy()
				r := w.start(sp)
				w.do(func() {
					if err := r.Write([]byte("words"), 1); err != nil {
						t.Error(err)
					}
					// The file is closed after a few tries.
					w.loop.After(5*time.Millisecond, func() { _ = f.Close() })
				})
				w.await("its output", func() bool { return r.over() || strings.Contains(r.stdout(), "words") })
				w.do(func() { r.Kill() })
				w.finish(r).want("signal SIGKILL, core false")
				if len(r.wrote) != 1 || r.wrote[0] != (answer{1, nil}) {
					t.Errorf("answered %v", r.wrote)
				}
			})
		}
		t.Run("for good", func(t *testing.T) {
			f := busy()
			defer f.Close()
			begin := time.Now()
			w.run(command(path)).want("failed 1 ETXTBSY")
			if took := time.Since(begin); took < 255*time.Millisecond {
				t.Errorf("it was given up after %v", took)
			}
		})
		t.Run("stopped meanwhile", func(t *testing.T) {
			f := busy()
			defer f.Close()
			r := w.start(command(path))
			w.do(func() { w.loop.After(20*time.Millisecond, r.Stop) })
			if w.finish(r); !r.failed || r.failure.Errno != unix.ECANCELED {
				t.Errorf("%s, want ECANCELED", r)
			}
		})
		w.run(command("true")).want("exit 0")
	})
}
