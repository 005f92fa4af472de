package e2e

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Programs come and go. Each end is reported exactly once and correctly.
func TestChaosCycles(t *testing.T) {
	e := common(t)
	before := e.idle(t)
	const batch = 10_000 // within the time of an evaluation
	start := time.Now()
	all := counts(5000, 1_000_000)
	for first := 0; first < all; first += batch {
		e.expect(t, "[]", "e2e_chaos:cycles(E, First, N)", bind{"First": first, "N": min(batch, all-first)})
	}
	t.Logf("%d, %.0f/s", all, float64(all)/time.Since(start).Seconds())
	e.idleAgain(t, before)
}

// Outputs of 0 to 1 MiB are complete, and arrive before the message about the end, although another
// process still holds the pipe. This is so with each kind of process tree.
func TestChaosOutputs(t *testing.T) {
	e := common(t)
	before, mark := e.idle(t), newMark()
	const batch = 1000
	file := filepath.Join(e.home, "random")
	text := make([]byte, 1<<20)
	_, _ = rand.Read(text) // never fails
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(e.home, 0o755); err != nil {
		t.Fatal(err)
	}
	var took figures
	all := counts(1000, 100_000)
	for first := 0; first < all; first += batch {
		result := e.eval(t, "e2e_chaos:outputs(E, Mark, File, N)", bind{"Mark": mark, "File": file, "N": min(batch, all-first)})
		bad, ok := strings.CutPrefix(result, "{[],")
		if !ok {
			t.Fatal(result)
		}
		took = append(took, micros(t, bad)...)
	}
	t.Logf("%d outputs; ends of programs that leave a process behind are reported after %v", all, took)
	if *chaos && took.median() > 50*time.Millisecond { // otherwise other suites run beside it
		t.Error("that took too long")
	}
	if !until(endTime, func() bool { return len(marked(mark)) == 0 }) {
		orphans(t, mark)
	}
	e.idleAgain(t, before)
}

// A bomb is a program of 2,047 processes. The keys are values of `info`'s reach: with "group" all
// are in one process group, with "cgroup" each is in a session of its own. Each process writes a
// byte when it runs, because a look at /proc may miss it. The environment of a process within
// execve(2) cannot be read.
var bombs = map[string]string{
	"group":  "b() { if [ $1 -gt 0 ]; then b $(($1-1)) & b $(($1-1)) & fi; printf x; exec sleep 1000; }; b 10",
	"cgroup": "b() { if [ $1 -gt 0 ]; then b $(($1-1)) & b $(($1-1)) & fi; [ $1 -lt 10 ] && exec setsid sh -c 'printf x; exec sleep 1000'; printf x; exec sleep 1000; }; b 10",
}

// All of a fork bomb is gone soon after the order to stop, and erluv answers meanwhile.
//
//erluv:users
func TestChaosBomb(t *testing.T) {
	e := common(t)
	reach := e.eval(t, "e2e:call(E, {info, reach})")
	for kind, bomb := range bombs {
		t.Run(kind, func(t *testing.T) {
			if kind == "cgroup" && reach != kind {
				t.Log("this machine has no control groups for it")
				return
			}
			before := e.idle(t)
			var took, pings figures
			for range counts(1, 20) {
				mark := newMark()
				s := e.session(t)
				s.eval(t, `W = e2e:start(E, Bomb, #{env => #{"CHAOS" => Mark}})`, bind{"Bomb": bomb, "Mark": mark})
				s.expect(t, "2047", `Count = fun F(2047 = N) -> N;
					F(N) -> receive {W, {stdout, B}} -> F(N + byte_size(B)); {W, Else} -> {N, Else} after 120000 -> N end end, Count(0)`)
				killed, rest, _ := strings.Cut(s.eval(t, "e2e_chaos:bomb(E, W)"), ",")
				orphans(t, mark)
				took = append(took, micros(t, killed)...)
				pings = append(pings, micros(t, rest)...)
			}
			t.Logf("2,047 processes are gone: %v; pings meanwhile: %v", took, pings)
			if *chaos && (took.median() > 5*time.Second || pings.median() > time.Second) {
				t.Error("that took too long")
			}
			e.idleAgain(t, before)
		})
	}
}

// Programs that are just ending get signals while the kernel reuses process numbers quickly. No
// signal reaches another process. The test uses pidfds, and also a kernel version whose pidfds do
// not suffice (UNAME26, personality(2)).
func TestChaosSignals(t *testing.T) {
	for name, as := range map[string][]string{
		"pidfds":  {executable},
		"reports": {"setarch", "--uname-2.6", executable},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			name := fmt.Sprintf("e%d", serial.Add(1))
			args := append(as[1:], "run", "--node", n.name, "--name", name, "--host", "127.0.0.1", n.cookieFile(), "--kill-timeout", "1s")
			e, err := n.exec(nil, as[0], args...)
			if err != nil {
				t.Fatal(err)
			}
			e.erluv = name + "@127.0.0.1"
			t.Cleanup(func() {
				if err := e.stop(); err != nil {
					t.Error(err)
				}
				e.report(t)
			})
			e.eval(t, "e2e:wait_hidden(E)")
			numbers := fewNumbers(t, e.roles(t).spawner)
			const batch = 1000
			all := counts(2000, 100_000)
			late := 0
			for first := 0; first < all; first += batch {
				result := e.eval(t, "e2e_chaos:signals(E, First, N)", bind{"First": first, "N": min(batch, all-first)})
				var missed int
				if _, err := fmt.Sscanf(result, "{[],%d}", &missed); err != nil {
					t.Fatal(result)
				}
				late += missed
			}
			t.Logf("%s; %d programs, half of them signalled, %d of these too late", numbers, all, late)
		})
	}
}

// fewNumbers makes the kernel soon reuse process numbers beside the spawner, if it has a pid
// namespace of its own. From Linux 6.14 on, a namespace has its own pid_max. Before, the test sets
// the next number (proc_sys_kernel(5)). It returns the method in use.
func fewNumbers(t *testing.T, spawner int) string {
	t.Helper()
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", spawner))
	if ours, _ := os.Readlink("/proc/self/ns/pid"); err != nil || ours == theirs {
		return "in no pid namespace"
	}
	const script = `
		if [ "$1" = own ]; then echo 400 >/proc/sys/kernel/pid_max && echo 100 numbers; exit; fi
		echo 300 >/proc/sys/kernel/ns_last_pid && echo 300 numbers
		while read -r _; do echo 300 >/proc/sys/kernel/ns_last_pid; done`
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	how, major, minor := "last", 0, 0
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err == nil && (major > 6 || major == 6 && minor >= 14) {
		how = "own"
	}
	cmd := exec.Command("nsenter", "--target", fmt.Sprint(spawner), "--pid", "--mount", "sh", "-c", script, "sh", how)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 100)
	k, err := out.Read(said)
	if err != nil {
		t.Fatalf("the numbers cannot be made few: %v", err)
	}
	ended := make(chan struct{})
	go func() { // ends with the pipe, which is closed with the test
		defer close(ended)
		for range time.Tick(20 * time.Millisecond) {
			if _, err := io.WriteString(in, "\n"); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		in.Close()
		<-ended
		_ = cmd.Wait()
	})
	return strings.TrimSpace(string(said[:k]))
}
