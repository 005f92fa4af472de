package workers_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// logged returns a program whose stdout goes to a file with rotation.
func logged(sp *workers.Spec, path string, size int64, keep uint16) *workers.Spec {
	sp.Streams[workers.Stdout] = workers.StreamSpec{
		Kind: workers.File, Path: path, Mode: 0o640, Rotate: &workers.Rotation{Size: size, Keep: keep},
	}
	return sp
}

// files returns a file and its predecessors, the oldest first.
func files(t *testing.T, path string) (list [][]byte) {
	t.Helper()
	for n := 0; ; n++ {
		name := path
		if n > 0 {
			name = fmt.Sprint(path, ".", n)
		}
		b, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			slices.Reverse(list)
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
}

// logRun runs cat with data as input, and its output in rotated files.
func (w *world) logRun(sp *workers.Spec, data []byte) *run {
	w.t.Helper()
	in := filepath.Join(w.t.TempDir(), "in")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	sp.Streams[workers.Stdin] = workers.StreamSpec{Kind: workers.File, Path: in}
	r := &run{host: w.host, files: true}
	w.do(func() { r.Worker = workers.New(w.host, w.starter, sp, r) })
	return w.finish(r)
}

// lines returns random lines of up to the given length.
func lines(rng *rand.Rand, total, longest int) []byte {
	var b bytes.Buffer
	for b.Len() < total {
		b.WriteString(strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(longest)))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// TestRotation checks that every byte is in one of the files, in order, and that no file is too
// large. All files but the last must end with a line, near their size.
func TestRotation(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		rng := rand.New(rand.NewPCG(1, 2))
		for _, c := range []struct {
			size, slack    int64
			total, longest int
		}{
			{4096, 512, 100_000, 100},
			{4096, 512, 4096, 500},
			{10_000, 1250, 100, 100},
			{10_000, 1250, 0, 1},
			{20_000, 2500, 50_000, 2500},
			{600_000, 64 << 10, 5_000_000, 60_000},
			{64 << 10, 8 << 10, 1_000_000, 300},
		} {
			data := lines(rng, c.total, c.longest)
			path := filepath.Join(t.TempDir(), "log")
			r := w.logRun(logged(command("cat"), path, c.size, 1000), data)
			r.want("exit 0")
			list := files(t, path)
			if got := bytes.Join(list, nil); !bytes.Equal(got, data) {
				t.Fatalf("%+v: %d bytes of %d in %d files, or others", c, len(got), len(data), len(list))
			}
			for i, b := range list {
				if int64(len(b)) > c.size || i < len(list)-1 && (b[len(b)-1] != '\n' || int64(len(b)) <= c.size-c.slack) {
					t.Errorf("%+v: file %d of %d has %d bytes, the last %q", c, i, len(list), len(b), b[len(b)-1:])
				}
			}
			if r.Bytes(workers.Stdout) != uint64(len(data)) || r.Open(workers.Stdout) || len(r.troubles) > 0 {
				t.Errorf("%+v: %d bytes, trouble: %v", c, r.Bytes(workers.Stdout), r.troubles)
			}
		}
	})
}

// TestRotationOfOneLine checks that a file without line ends has exactly its size.
func TestRotationOfOneLine(t *testing.T) {
	w := newWorld(t, !ipc.PidfdsSuffice())
	path := filepath.Join(t.TempDir(), "log")
	w.logRun(logged(command("cat"), path, 5000, 10), bytes.Repeat([]byte("x"), 17_000)).want("exit 0")
	var sizes []int
	for _, b := range files(t, path) {
		sizes = append(sizes, len(b))
	}
	if fmt.Sprint(sizes) != "[5000 5000 5000 2000]" {
		t.Errorf("files of %v bytes", sizes)
	}
}

// TestRotationKeeps checks that the oldest files go, that an existing file is appended to, and that
// a new one has the requested mode.
func TestRotationKeeps(t *testing.T) {
	w := newWorld(t, !ipc.PidfdsSuffice())
	path := filepath.Join(t.TempDir(), "log")
	for n := range 30 {
		b := bytes.Repeat([]byte{byte('a' + n%26)}, 1000)
		b[999] = '\n'
		w.logRun(logged(command("cat"), path, 4096, 3), b).want("exit 0")
	}
	list := files(t, path)
	if len(list) != 4 {
		t.Fatalf("%d files", len(list))
	}
	first := ""
	for _, b := range list {
		for line := range strings.Lines(string(b)) {
			first += line[:1]
		}
	}
	if want := "qrstuvwxyzabcd"; first != want {
		t.Errorf("the files hold %q, want %q", first, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestManyLogs logs several outputs of several programs at once, by different descriptors.
func TestManyLogs(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		rng := rand.New(rand.NewPCG(3, 4))
		dir := t.TempDir()
		want := map[string][]byte{}
		var runs []*run
		for i := range 20 {
			data := lines(rng, 200_000, 1000)
			in := filepath.Join(dir, fmt.Sprint("in", i))
			if err := os.WriteFile(in, data, 0o600); err != nil {
				t.Fatal(err)
			}
			sp := logged(shell("tee /dev/fd/2 /dev/fd/5 <"+in), filepath.Join(dir, fmt.Sprint("out", i)), 20_000, 1000)
			spec := func(name string) workers.StreamSpec {
				path := filepath.Join(dir, fmt.Sprint(name, i))
				want[path] = data
				return workers.StreamSpec{Kind: workers.File, Path: path, Mode: 0o600, Rotate: &workers.Rotation{Size: 10_000, Keep: 1000}}
			}
			want[sp.Streams[workers.Stdout].Path] = data
			sp.Streams[workers.Stderr] = spec("err")
			sp.Extra = []workers.Extra{{FD: 3, Input: true}, {FD: 5, StreamSpec: spec("five")}, {FD: 9, StreamSpec: workers.StreamSpec{Kind: workers.Null}}}
			r := &run{host: w.host, files: true}
			runs = append(runs, r)
			w.do(func() { r.Worker = workers.New(w.host, w.starter, sp, r) })
		}
		for _, r := range runs {
			w.finish(r).want("exit 0")
		}
		for path, data := range want {
			if got := bytes.Join(files(t, path), nil); !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes of %d, or others", path, len(got), len(data))
			}
		}
	})
}

// TestRotationThatFails checks that a failed rotation is reported once, and the old file is written
// to. The next rotation takes place as soon as it is possible.
func TestRotationThatFails(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		path := filepath.Join(t.TempDir(), "log")
		if err := os.MkdirAll(path+".1/full", 0o700); err != nil { // no file can take its place
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("123456789\n"), 1000)
		r := w.logRun(logged(command("cat"), path, 4096, 1), data)
		r.want("exit 0")
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, data) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if fmt.Sprint(r.troubles) != "[1 EISDIR]" {
			t.Errorf("trouble: %v", r.troubles)
		}
		if err := os.RemoveAll(path + ".1"); err != nil {
			t.Fatal(err)
		}
		w.logRun(logged(command("cat"), path, 4096, 1), data[:5000]).want("exit 0")
		if got := len(files(t, path)); got != 2 {
			t.Errorf("%d files", got)
		}
	})
}

// TestFullDisk checks that output for which the disk is full is lost and reported once, and that
// the program is not held up. A limit of the process stands for a full disk, with EFBIG instead of
// ENOSPC.
func TestFullDisk(t *testing.T) {
	w := newWorld(t, !ipc.PidfdsSuffice())
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log")
	r := &run{host: w.host, files: true}
	sp := logged(shell("head -c 100000 /dev/zero; read x; echo more"), path, 1<<20, 1)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 10_000, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	w.do(func() { r.Worker = workers.New(w.host, w.starter, sp, r) })
	w.await("trouble, and all to be read", func() bool { return len(r.troubles) > 0 && r.Bytes(workers.Stdout) == 100_000 })
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	w.do(func() { _ = r.Command([]byte("\n")) })
	w.finish(r).want("exit 0")
	if fmt.Sprint(r.troubles) != "[1 EFBIG]" {
		t.Errorf("trouble: %v", r.troubles)
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 10_005 || string(b[10_000:]) != "more\n" {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestNoLog checks that a start fails if its log is no regular file or cannot be made.
func TestNoLog(t *testing.T) {
	w := newWorld(t, !ipc.PidfdsSuffice())
	for path, want := range map[string]string{
		"/dev/full":        "failed 4 EINVAL",
		"/no/such/log":     "failed 4 ENOENT",
		"/":                "failed 4 EISDIR",
		"/etc/passwd/log":  "failed 4 ENOTDIR",
		"/proc/self/nolog": "failed 4 ENOENT",
	} {
		w.run(logged(command("true"), path, 4096, 1)).want(want)
	}
	sp := logged(command("/no/such"), filepath.Join(t.TempDir(), "log"), 4096, 1)
	w.run(sp).want("failed 1 ENOENT")
}

// TestKilledWhileItLogs kills a program that writes as fast as it can. Its files must have whole
// lines, and no descriptor may stay open.
func TestKilledWhileItLogs(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for range 10 {
			path := filepath.Join(t.TempDir(), "log")
			r := &run{host: w.host, files: true}
			w.do(func() {
				r.Worker = workers.New(w.host, w.starter, logged(command("yes", "a line of this text"), path, 4096, 5), r)
			})
			w.await("some rotations", func() bool { return r.started && r.Bytes(workers.Stdout) > 100_000 })
			w.do(r.Kill)
			w.finish(r).want("signal SIGKILL, core false")
			list := files(t, path)
			if len(list) != 6 {
				t.Errorf("%d files", len(list))
			}
			for _, b := range list[:len(list)-1] {
				if !bytes.HasPrefix(b, []byte("a line")) || !bytes.HasSuffix(b, []byte("text\n")) {
					t.Errorf("%d bytes, from %.20q to %.20q", len(b), b, b[max(0, len(b)-20):])
				}
			}
		}
	})
}
