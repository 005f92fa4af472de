package tutorial

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A terminal is a shell on pipes. An answer is its output up to the next prompt.
type terminal struct {
	in     io.WriteCloser
	name   string
	done   string                     // typed after each line, so that there is a prompt
	prompt func(n int) *regexp.Regexp // after its n-th answer
	n      int                        // answers so far

	mu     sync.Mutex
	out    bytes.Buffer
	wake   chan struct{} // there is new output
	closed chan struct{}
}

func (c *terminal) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return c.out.Write(p)
}

func startBash(t *testing.T, p *place) *terminal {
	t.Helper()
	const mark = "-prompt-"
	c := start(t, p, "", "bash", "--noprofile", "--norc")
	c.done = "\necho " + mark + "\n"
	c.prompt = func(int) *regexp.Regexp { return regexp.MustCompile(`(?m)^` + mark + `\n`) }
	return c
}

// startErl starts Erlang's shell in the tutorial's directory, if there is one.
func startErl(t *testing.T, p *place, words []string) *terminal {
	t.Helper()
	dir := "tour"
	if _, err := os.Stat(filepath.Join(p.home, dir)); err != nil {
		dir = ""
	}
	c := start(t, p, dir, words[0], words[1:]...)
	c.done = "\n"
	// A log message is followed by another prompt.
	c.prompt = func(n int) *regexp.Regexp { return regexp.MustCompile(fmt.Sprintf(`(?:^|\n)\([^)]*\)%d> `, n)) }
	if _, ok := c.answer(patience); !ok {
		t.Fatalf("%q does not prompt", words)
	}
	return c
}

// start starts a program that ends with the test, together with its descendants.
func start(t *testing.T, p *place, dir, program string, args ...string) *terminal {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = filepath.Join(p.home, dir), p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &terminal{in: in, name: program, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	out, theirs, err := os.Pipe() // not cmd's own pipe, because its Wait would wait for daemons too
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = theirs, theirs
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the pipe
		defer close(c.closed)
		_, _ = io.Copy(c, out)
	}()
	t.Cleanup(func() {
		in.Close()
		ended := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		ended.Stop()
		out.Close()
		<-c.closed
		if t.Failed() {
			t.Logf("%s ended: %v", program, err)
		}
	})
	return c
}

// step types a line. If an early answer is not the wanted one, step types it again.
func (c *terminal) step(t *testing.T, s step, typed, want string, within time.Duration) {
	t.Helper()
	if c == nil {
		t.Fatalf("%s: no shell is open", s)
	}
	for deadline := time.Now().Add(within); ; {
		if _, err := io.WriteString(c.in, typed+c.done); err != nil {
			t.Fatalf("%s: %s does not take %q: %v", s, c.name, typed, err)
		}
		got, ok := c.answer(time.Until(deadline))
		if ok && matches(got, want) {
			return
		}
		if !ok || !s.soon || time.Now().After(deadline) {
			t.Errorf("%s: %s\nis answered by\n%s\nwant\n%s", s, typed, got, want)
			return
		}
	}
}

// answer returns the output up to the next prompt, or all output if no prompt comes in time.
func (c *terminal) answer(within time.Duration) (string, bool) {
	c.n++
	prompt := c.prompt(c.n)
	timeout := time.After(within)
	for {
		c.mu.Lock()
		all := c.out.String()
		if at := prompt.FindStringIndex(all); at != nil {
			c.out.Next(at[1])
			c.mu.Unlock()
			return all[:at[0]], true
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-c.closed:
			return all, false
		case <-timeout:
			return all, false
		}
	}
}

func TestAnswer(t *testing.T) {
	p := &place{home: t.TempDir(), env: []string{"PATH=/usr/bin:/bin"}}
	c := startBash(t, p)
	c.step(t, step{}, "echo one; echo two >&2", "one\ntwo\n", patience)
	c.step(t, step{soon: true}, "n=$((n + 1)); echo now $n >>now; tail -n 1 now; [ $n -lt 5 ] || echo enough", "enough", patience)
	if lines, err := os.ReadFile(filepath.Join(p.home, "now")); err != nil || bytes.Count(lines, []byte("\n")) != 5 {
		t.Errorf("%q, %v", lines, err)
	}
}
