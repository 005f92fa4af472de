package workers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// publicDir makes a directory that any user can enter and write to.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "erluv-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func file(t *testing.T, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFailures(t *testing.T) {
	dir := publicDir(t)
	plain := file(t, dir, "plain", "no program", 0o644)
	noexec := file(t, dir, "noexec", "no program", 0o755)
	badInterpreter := file(t, dir, "bad", "#!/nonexistent/interpreter\n", 0o755)
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*workers.Spec)) *workers.Spec {
		sp := command("true")
		change(sp)
		return sp
	}
	stream := func(no workers.Stream, path string) *workers.Spec {
		return with(func(sp *workers.Spec) {
			sp.Streams[no] = workers.StreamSpec{Kind: workers.File, Path: path, Mode: 0o644}
		})
	}
	long := strings.Repeat("x", 100_000)
	cases := []struct {
		name  string
		sp    *workers.Spec
		stage ipc.Stage
		errno unix.Errno
	}{
		{"no such program in the path", command("no-such-program"), ipc.StageProgram, unix.ENOENT},
		{"no such program", command("/no/such/program"), ipc.StageProgram, unix.ENOENT},
		{"an empty name", command(""), ipc.StageProgram, unix.ENOENT},
		{"NUL in the name", command("/bin/tr\x00ue"), ipc.StageProgram, unix.EINVAL},
		{"NUL in an argument", command("true", "a\x00b"), ipc.StageProgram, unix.EINVAL},
		{"not executable", command(plain), ipc.StageProgram, unix.EACCES},
		{"a directory", command("/etc/"), ipc.StageProgram, unix.EACCES},
		{"no format", command(noexec), ipc.StageProgram, unix.ENOEXEC},
		{"no interpreter", command(badInterpreter), ipc.StageProgram, unix.ENOENT},
		{"a loop of links", command(loop), ipc.StageProgram, unix.ELOOP},
		{"a name too long", command("/" + strings.Repeat("x", 300)), ipc.StageProgram, unix.ENAMETOOLONG},
		{"one argument too long", command("true", long+long), ipc.StageProgram, unix.E2BIG},
		{"all arguments too long", command(append([]string{"true"}, list(long, 70)...)...), ipc.StageProgram, unix.E2BIG},
		{"too long for a request", command(append([]string{"true"}, list(long, 90)...)...), ipc.StageProgram, unix.E2BIG},
		{"environment too long", with(func(sp *workers.Spec) { sp.Env = list("A="+long, 70) }), ipc.StageProgram, unix.E2BIG},

		{"no such directory", with(func(sp *workers.Spec) { sp.Dir = "/no/such" }), ipc.StageDir, unix.ENOENT},
		{"no directory", with(func(sp *workers.Spec) { sp.Dir = plain }), ipc.StageDir, unix.ENOTDIR},
		{"no directory given", with(func(sp *workers.Spec) { sp.Dir = "" }), ipc.StageDir, unix.ENOENT},
		{"NUL in the directory", with(func(sp *workers.Spec) { sp.Dir = "/\x00" }), ipc.StageDir, unix.EINVAL},

		{"no file for stdin", stream(workers.Stdin, dir+"/none"), ipc.StageStdin, unix.ENOENT},
		{"no directory for stdout", stream(workers.Stdout, dir+"/none/none"), ipc.StageStdout, unix.ENOENT},
		{"a directory for stdout", stream(workers.Stdout, dir), ipc.StageStdout, unix.EISDIR},
		{"a FIFO nobody reads", stream(workers.Stdout, fifo), ipc.StageStdout, unix.ENXIO},
		{"no directory for stderr", stream(workers.Stderr, dir+"/none/none"), ipc.StageStderr, unix.ENOENT},
		{"an empty path for stderr", stream(workers.Stderr, ""), ipc.StageStderr, unix.ENOENT},
	}
	if os.Getuid() != 0 { // root may use all of them
		closed := filepath.Join(dir, "closed")
		if err := os.Mkdir(closed, 0); err != nil {
			t.Fatal(err)
		}
		secret := file(t, dir, "secret", "", 0)
		cases = append(cases, []struct {
			name  string
			sp    *workers.Spec
			stage ipc.Stage
			errno unix.Errno
		}{
			{"a closed directory", with(func(sp *workers.Spec) { sp.Dir = closed }), ipc.StageDir, unix.EACCES},
			{"a program in it", command(closed + "/x"), ipc.StageProgram, unix.EACCES},
			{"a closed file", stream(workers.Stdin, secret), ipc.StageStdin, unix.EACCES},
		}...)
	}
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				r := w.run(c.sp)
				if !r.failed || r.failure != (ipc.Refusal{Stage: c.stage, Errno: c.errno}) {
					t.Errorf("%s %q, want stage %d %s", r, r.stdout(), c.stage, unix.ErrnoName(c.errno))
				}
			})
		}
		w.run(command("true")).want("exit 0")
	})
}

func list(s string, n int) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = s
	}
	return l
}

// TestLongArguments checks that a request of any size that the kernel accepts arrives, by packet or
// by memfd.
func TestLongArguments(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, size := range []int{1000, ipc.MaxPacket - 200, ipc.MaxPacket - 100, ipc.MaxPacket, ipc.MaxPacket + 1, 1 << 20, 1_900_000} {
			var args []string
			for left := size; left > 0; left -= 10_001 { // with the blank between
				args = append(args, strings.Repeat("x", min(10_000, left)))
			}
			r := w.run(command(append([]string{"echo"}, args...)...))
			r.want("exit 0")
			if want := strings.Join(args, " ") + "\n"; r.stdout() != want {
				t.Errorf("%d bytes of arguments, %d wanted", len(r.stdout()), len(want))
			}
			if size < 1<<20 {
				continue
			}
			sp := command("env")
			for i, a := range args {
				sp.Env = append(sp.Env, fmt.Sprintf("V%d=%s", i, a))
			}
			r = w.run(sp)
			if want := strings.Join(sp.Env, "\n") + "\n"; r.stdout() != want {
				t.Errorf("%s, %d bytes of environment, %d wanted", r, len(r.stdout()), len(want))
			}
		}
	})
}

func TestFiles(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		dir := publicDir(t)
		in := file(t, dir, "in", "from the file", 0o644)
		_ = in
		for _, c := range []struct {
			name        string
			before      string // "" means that there is no file
			spec        workers.StreamSpec
			umask       uint32
			content     string
			permissions os.FileMode
		}{
			{"new", "", workers.StreamSpec{Mode: 0o666}, 0o022, "from the file", 0o644},
			{"mode", "", workers.StreamSpec{Mode: 0o640}, 0, "from the file", 0o640},
			{"umask", "", workers.StreamSpec{Mode: 0o666}, 0o077, "from the file", 0o600},
			{"truncated", "long ago there was a file", workers.StreamSpec{Mode: 0o666}, 0o022, "from the file", 0o604},
			{"appended", "long ago: ", workers.StreamSpec{Append: true, Mode: 0o666}, 0o022, "long ago: from the file", 0o604},
			{"appended, new", "", workers.StreamSpec{Append: true, Mode: 0o666}, 0o022, "from the file", 0o644},
		} {
			for no, script := range map[workers.Stream]string{workers.Stdout: "exec cat", workers.Stderr: "exec cat >&2"} {
				path := filepath.Join(dir, "out")
				_ = os.Remove(path)
				if c.before != "" {
					file(t, dir, "out", c.before, 0o604)
				}
				sp := shell(script)
				sp.Dir, sp.Attributes.Umask = dir, c.umask
				sp.Streams[workers.Stdin] = workers.StreamSpec{Kind: workers.File, Path: "in"}
				c.spec.Kind, c.spec.Path = workers.File, "out"
				sp.Streams[no] = c.spec
				w.run(sp).want("exit 0")
				b, err := os.ReadFile(path)
				if err != nil || string(b) != c.content {
					t.Errorf("%s, stream %d: %q, %v, want %q", c.name, no, b, err, c.content)
				}
				if st, err := os.Stat(path); err != nil || st.Mode() != c.permissions {
					t.Errorf("%s, stream %d: %v, %v, want %v", c.name, no, st.Mode(), err, c.permissions)
				}
			}
		}
		// Each program has its own umask, independent of the one before.
		for _, umask := range []uint32{0o077, 0, 0o022} {
			sp := shell("umask")
			sp.Attributes.Umask = umask
			if r := w.run(sp); r.stdout() != fmt.Sprintf("%04o\n", umask) {
				t.Errorf("umask %q, want %04o", r.stdout(), umask)
			}
		}
		// The program's files are blocking, as a shell opens them.
		sp := command("sh", "-c", "grep flags /proc/self/fdinfo/0 >&2")
		sp.Streams[workers.Stdin] = workers.StreamSpec{Kind: workers.File, Path: in}
		r := w.run(sp)
		flags, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(string(r.out[workers.Stderr]), "flags:")), 8, 32)
		if err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags of stdin %q, %v", r.out[workers.Stderr], err)
		}
	})
}

func TestNullAndMergedStreams(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		sp := shell("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
		sp.Streams[workers.Stderr].Kind = workers.ToStdout
		r := w.run(sp)
		if want := "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"; r.stdout() != want {
			t.Errorf("merged: %q, want %q", r.stdout(), want)
		}
		if r.ended != (perStream{0, 1, 0}) {
			t.Errorf("streams ended %v times, want stdout once", r.ended)
		}
		for no := range sp.Streams {
			sp.Streams[no].Kind = workers.Null
		}
		r = w.run(sp)
		r.want("exit 0")
		if r.ended != (perStream{}) || len(r.out[1])+len(r.out[2]) != 0 {
			t.Errorf("of no pipe: %q, ended %v times", r.out, r.ended)
		}
		sp = shell("cat; ls -l /proc/$$/fd >&2")
		sp.Streams[workers.Stdin].Kind = workers.Null
		sp.Streams[workers.Stdout].Kind = workers.Null
		if r = w.run(sp); strings.Count(string(r.out[workers.Stderr]), "/dev/null") != 2 {
			t.Errorf("descriptors: %s", r.out[workers.Stderr])
		}
		// Both streams share one open file description, so neither overwrites the other.
		dir := publicDir(t)
		sp = shell("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
		sp.Dir = dir
		sp.Streams[workers.Stdout] = workers.StreamSpec{Kind: workers.File, Path: "both", Mode: 0o644}
		sp.Streams[workers.Stderr].Kind = workers.ToStdout
		w.run(sp).want("exit 0")
		if b, err := os.ReadFile(filepath.Join(dir, "both")); string(b) != "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n" {
			t.Errorf("merged in a file: %q, %v", b, err)
		}
	})
}

// TestSurroundings checks that a program sees no state of the spawner, whose parent ignores
// signals.
func TestSurroundings(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorldWith(t, options{reports: reports, wrapper: []string{
			"/bin/sh", "-c", `trap '' INT HUP CHLD PIPE TERM; umask 0; exec "$@"`, "sh",
		}})
		if r := w.run(command("/usr/bin/env")); r.stdout() != "" || len(r.out[workers.Stderr]) != 0 {
			t.Errorf("environment %q", r.out)
		}
		sp := command("/usr/bin/env")
		sp.Env = []string{"A=1", "B=", "A=2", "no equal sign"}
		if r := w.run(sp); r.stdout() != "A=1\nB=\nA=2\nno equal sign\n" {
			t.Errorf("environment %q", r.stdout())
		}
		// One is the directory that ls itself opens.
		if r := w.run(command("ls", "/proc/self/fd")); r.stdout() != "0\n1\n2\n3\n" {
			t.Errorf("descriptors %q", r.stdout())
		}
		dir := publicDir(t)
		sp = command("pwd")
		sp.Dir = dir
		if r := w.run(sp); r.stdout() != dir+"\n" {
			t.Errorf("directory %q, want %q", r.stdout(), dir)
		}
		r := w.run(command("cat", "/proc/self/status"))
		// make(1) leaves signal 32 ignored in its children. Main's stage resets that before the
		// spawner starts, but this test has no stage.
		status := strings.Replace(r.stdout(), "SigIgn:\t0000000080000000", "SigIgn:\t0000000000000000", 1)
		for _, line := range []string{"SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"} {
			if !strings.Contains(status, line+":\t0000000000000000\n") {
				t.Errorf("%s: %s", line, status)
			}
		}
		if want := fmt.Sprintf("PPid:\t%d\n", w.spawner.Process.Pid); !strings.Contains(r.stdout(), want) {
			t.Errorf("%s, want %s", r.stdout(), want)
		}
		// pid (command) state ppid pgrp session tty_nr ...
		r = w.run(command("cat", "/proc/self/stat"))
		f := strings.Fields(r.stdout())
		if pid := strconv.Itoa(r.PID()); f[0] != pid || f[4] != pid || f[5] != pid || f[6] != "0" {
			t.Errorf("process %s is in group %s, session %s, terminal %s", pid, f[4], f[5], f[6])
		}
		// Relative paths of programs start at the program's directory.
		file(t, dir, "here", "#!/bin/sh\necho $0 $1\n", 0o755)
		sp = command("./here", "there")
		sp.Dir = dir
		if r := w.run(sp); r.stdout() != "./here there\n" {
			t.Errorf("%s %q", r, r.stdout())
		}
		// The name in a program's arguments may differ from its file.
		sp = command("/bin/sh", "-c", "echo $0")
		sp.Args = []string{"another", "-c", "cat /proc/$$/cmdline"}
		if r := w.run(sp); !strings.HasPrefix(r.stdout(), "another\x00-c\x00") {
			t.Errorf("%s %q", r, r.stdout())
		}
	})
}

// TestSpawnerOutlivesCommonSignals checks that signals from a terminal or service manager end
// neither the spawner nor its programs. Only the child ends them.
func TestSpawnerOutlivesCommonSignals(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGHUP, unix.SIGTERM} {
			if err := w.spawner.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			w.run(command("true")).want("exit 0")
		}
	})
}

// TestDescriptorBudget checks that starts fail beyond the descriptors that workers may hold. When
// one worker has ended, the next can start.
func TestDescriptorBudget(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorldWith(t, options{reports: reports, maxFDs: 9})
		for range 3 {
			a := w.started(command("cat"), "")
			b := w.started(command("cat"), "")
			w.run(command("cat")).want("failed 1 EMFILE")
			w.do(a.CloseStdin)
			w.finish(a).want("exit 0")
			c := w.started(command("cat"), "")
			w.run(command("cat")).want("failed 1 EMFILE")
			w.do(func() { b.CloseStdin(); c.CloseStdin() })
			w.finish(b).want("exit 0")
			w.finish(c).want("exit 0")
			w.run(command("/nonexistent")).want("failed 1 ENOENT")
			w.run(command("true")).want("exit 0")
		}
	})
}

// TestDescriptorLimit sets the child's own limit below maxFDs. The pipes made so far must be
// closed, and no descriptor may leak.
func TestDescriptorLimit(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, options{reports: !ipc.PidfdsSuffice(), maxFDs: int(old.Cur)})
	before := descriptors(t)
	for room := range 7 {
		low := old
		low.Cur = limitFor(t, room)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			t.Fatal(err)
		}
		r := w.run(command("true"))
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		if room < 6 { // three pipes
			r.want("failed 1 EMFILE")
		} else {
			r.want("exit 0")
		}
		w.run(command("true")).want("exit 0")
		if after := descriptors(t); after != before {
			t.Fatalf("room for %d: %d descriptors before, %d after", room, before, after)
		}
	}
}

// limitFor returns the descriptor limit that allows so many more.
func limitFor(t *testing.T, more int) uint64 {
	t.Helper()
	var next int
	var fds []int
	for range more + 1 {
		var err error
		if next, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		fds = append(fds, next)
	}
	ipc.CloseAll(fds)
	return uint64(next)
}
