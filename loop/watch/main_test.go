package watch

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"erluv/loop"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	// The runtime opens a descriptor at the first use of a pipe, and keeps it.
	if r, w, err := os.Pipe(); err == nil {
		_, _ = r.Close(), w.Close()
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

// world is a loop in its own goroutine, with a set of watchers and their host.
type world struct {
	t     testing.TB
	loop  *loop.Loop
	group *loop.Group
	set   *Set

	news    []string // the reports, a line each
	full    bool     // the host has no room
	asked   bool     // the set asked for room in vain
	wake    int
	mu      sync.Mutex
	queue   []func()
	cond    func() bool
	reached chan struct{}
}

// newWorld makes a world. At the end of the test nothing of it may remain.
func newWorld(t testing.TB) *world {
	t.Helper()
	before := descriptors(t)
	w := &world{t: t}
	var err error
	w.loop, err = loop.New()
	must(t, err)
	w.group, err = w.loop.NewGroup()
	must(t, err)
	w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(t, err)
	_, err = w.loop.Watch(w.wake, loop.In, w)
	must(t, err)
	w.set = NewSet(w.loop, w.group, w)
	w.loop.EachRound(w.look)
	ended := make(chan error, 1)
	go func() { ended <- w.loop.Run() }() // ends by Stop, see below
	t.Cleanup(func() {
		w.do(func() {
			for watcher := range w.set.watchers {
				w.set.Close(watcher)
			}
			if w.set.fd >= 0 || w.set.nodes != 0 || w.set.toldSize != 0 || w.set.table != nil {
				t.Errorf("without watchers the set still holds something: %+v", w.set)
			}
		})
		w.loop.Stop()
		must(t, <-ended)
		w.loop.Close()
		must(t, unix.Close(w.wake))
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
	return w
}

func descriptors(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(d)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do calls f in the loop's thread.
func (w *world) do(f func()) {
	done := make(chan struct{})
	w.mu.Lock()
	w.queue = append(w.queue, func() {
		f()
		close(done)
	})
	w.mu.Unlock()
	_, err := unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	must(w.t, err)
	<-done
}

func (w *world) Ready(loop.Events) {
	var b [8]byte
	_, _ = unix.Read(w.wake, b[:])
	w.mu.Lock()
	queue := w.queue
	w.queue = nil
	w.mu.Unlock()
	for _, f := range queue {
		f()
	}
}

// look ends a wait when its condition holds.
func (w *world) look() {
	if w.cond != nil && w.cond() {
		w.cond = nil
		close(w.reached)
	}
}

// until waits for a condition, which the loop's thread checks.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	reached := make(chan struct{})
	w.do(func() { w.cond, w.reached = cond, reached })
	select {
	case <-reached:
	case <-time.After(patience):
		var news []string
		w.do(func() { w.cond, news = nil, w.news })
		w.t.Fatalf("not within %v: %s\ntold: %q", patience, what, news)
	}
}

var kindNames = [kinds]string{"created", "modified", "closed", "attrib", "renamed", "deleted", "unmounted", "overflow"}

func (w *world) tell(watcher *Watcher, line string) {
	if tag, ok := watcher.Tag.(string); ok {
		line = tag + ": " + line
	}
	w.news = append(w.news, line)
}

func (w *world) Room() bool {
	w.asked = w.asked || w.full
	return !w.full
}

func (w *world) Watching(watcher *Watcher) { w.tell(watcher, "watching") }

func (w *world) Failed(watcher *Watcher, err unix.Errno) {
	w.tell(watcher, "failed "+unix.ErrnoName(err))
}

func (w *world) Changed(watcher *Watcher, what []Kind, path []byte) {
	var names []string
	for _, k := range what {
		names = append(names, kindNames[k])
	}
	w.tell(watcher, strings.Join(names, ",")+" "+string(path))
}

func (w *world) Unwatched(watcher *Watcher, err unix.Errno, path []byte) {
	w.tell(watcher, "unwatched "+unix.ErrnoName(err)+" "+string(path))
}

func (w *world) Ended(watcher *Watcher) { w.tell(watcher, "ended") }

// watch begins to watch a path and waits until all is watched.
func (w *world) watch(path string, wanted Kinds, recursive bool, tag any) *Watcher {
	w.t.Helper()
	watcher := w.begin(path, wanted, recursive, tag)
	w.until("watching", watcher.Live)
	w.do(func() {
		w.news = slices.DeleteFunc(w.news, func(s string) bool { return strings.HasSuffix(s, "watching") })
	})
	return watcher
}

func (w *world) begin(path string, wanted Kinds, recursive bool, tag any) (watcher *Watcher) {
	w.t.Helper()
	var err error
	w.do(func() { watcher, err = w.set.Watch(path, wanted, recursive, tag) })
	must(w.t, err)
	return watcher
}

// counts returns how many directories are watched, and how many could not be.
func (w *world) counts(watcher *Watcher) (watched, unwatched int) {
	w.do(func() { watched, unwatched = watcher.Watched(), watcher.Unwatched() })
	return watched, unwatched
}

// atOnce calls f while nothing is read. So timing does not decide which events one message reports.
func (w *world) atOnce(f func()) {
	w.t.Helper()
	w.do(func() { w.full = true })
	f()
	w.do(func() {
		w.full = false
		w.set.Resume()
	})
}

// take returns the reports up to that of the fence. The fence is a file that take creates in a
// watched directory, so reports of earlier events come first.
func (w *world) take(fence string) []string {
	w.t.Helper()
	must(w.t, os.WriteFile(fence, nil, 0o644))
	return w.takeUntil("created " + fence)
}

// takeUntil returns the reports before a line.
func (w *world) takeUntil(line string) (news []string) {
	w.t.Helper()
	w.until(line, func() bool { return slices.Contains(w.news, line) })
	w.do(func() {
		i := slices.Index(w.news, line)
		news = append(news, w.news[:i]...)
		w.news = w.news[i+1:]
	})
	return news
}

func (w *world) expect(got []string, want ...string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("told %q\nwant %q", got, want)
	}
}

// helper runs another test of this binary in its own process, with the attributes attr.
func helper(t *testing.T, test, dir string, attr *syscall.SysProcAttr) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+test+"$", "-test.v")
	cmd.Env = []string{"WATCH_DIR=" + dir, "TMPDIR=" + dir}
	cmd.Dir, cmd.SysProcAttr = "/", attr
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
		t.Errorf("%v\n%s", err, out)
	}
}

// inNamespace makes the helper root of a user namespace, with its own mounts.
func inNamespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

func touch(t testing.TB, path string) {
	t.Helper()
	must(t, os.WriteFile(path, nil, 0o644))
}

func mkdir(t testing.TB, path ...string) {
	t.Helper()
	for _, p := range path {
		must(t, os.MkdirAll(p, 0o755))
	}
}

func number(format string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}
