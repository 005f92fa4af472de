package machine

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"erluv/stat"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at makes a machine out of files.
func at(t *testing.T, files map[string]string) *Looker {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(root+name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Looker{root: root}
}

func TestLoad(t *testing.T) {
	load := at(t, map[string]string{"/proc/loadavg": "0.52 1.08 12.30 3/456 789\n"}).Load()
	if load == nil || load.Avg1 != 0.52 || load.Avg5 != 1.08 || load.Avg15 != 12.3 || load.CPUs < 1 {
		t.Errorf("%+v", load)
	}
	for _, text := range []string{"", "1 2", "a b c", "NaN 1 1", "1 1 Inf"} {
		if load := at(t, map[string]string{"/proc/loadavg": text}).Load(); load != nil {
			t.Errorf("%q: %+v", text, load)
		}
	}
}

const meminfo = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    800 kB\n"

// TestMemory checks that the lowest limit of the control groups above counts. Their inactive file
// pages count as available.
func TestMemory(t *testing.T) {
	const kib = 1 << 10
	for name, tt := range map[string]struct {
		files map[string]string
		want  *stat.Memory
	}{
		"nothing":   {map[string]string{}, nil},
		"no number": {map[string]string{"/proc/meminfo": "MemTotal: x kB\nMemAvailable: 1 kB\n"}, nil},
		"no groups": {map[string]string{"/proc/meminfo": meminfo}, &stat.Memory{Total: 1000 * kib, Available: 800 * kib}},
		"version 2": {
			map[string]string{
				"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n",
				"/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/b/memory.current": "1000\n",
				"/sys/fs/cgroup/a/memory.max": "409600\n", "/sys/fs/cgroup/a/memory.current": "307200\n",
				"/sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 102400\nactive_file 5\n",
			},
			&stat.Memory{Total: 1000 * kib, Available: 200 * kib, Limit: 400 * kib},
		},
		"the lower of two": {
			map[string]string{
				"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n",
				"/sys/fs/cgroup/a/b/memory.max": "204800\n", "/sys/fs/cgroup/a/b/memory.current": "0\n",
				"/sys/fs/cgroup/a/memory.max": "409600\n", "/sys/fs/cgroup/a/memory.current": "400000\n",
			},
			&stat.Memory{Total: 1000 * kib, Available: 9600, Limit: 200 * kib},
		},
		"version 1, seen from within": {
			map[string]string{
				"/proc/meminfo": meminfo, "/proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/1234\n0::/\n",
				"/sys/fs/cgroup/memory/memory.limit_in_bytes": "102400\n", "/sys/fs/cgroup/memory/memory.usage_in_bytes": "204800\n",
			},
			&stat.Memory{Total: 1000 * kib, Available: 0, Limit: 100 * kib},
		},
		"more than there is": {
			map[string]string{
				"/proc/meminfo": meminfo, "/proc/self/cgroup": "4:memory:/\n",
				"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
			},
			&stat.Memory{Total: 1000 * kib, Available: 800 * kib},
		},
		"no way up": {
			map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/../../x\nnonsense\n"},
			&stat.Memory{Total: 1000 * kib, Available: 800 * kib},
		},
	} {
		if diff := cmp.Diff(tt.want, at(t, tt.files).Memory()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDisks checks that an answer is used again for a second, and no longer.
func TestDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		l := &Looker{Paths: []string{"/a", "/b"}, statfs: func(p string) (stat.Disk, error) {
			looks++
			if p == "/b" {
				return stat.Disk{}, errors.New("none")
			}
			return stat.Disk{Total: int64(looks), Available: 1}, nil
		}}
		want := []stat.Disk{{Path: "/a", Total: 1, Available: 1}, {Path: "/b", Unknown: true}}
		for range 3 {
			if diff := cmp.Diff(want, l.Disks()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		time.Sleep(fresh)
		if got := l.Disks(); got[0].Total != 3 {
			t.Errorf("after a second: %+v", got)
		}
	})
}

// TestDiskThatHangs checks that one look waits for the file system, which is unknown until it
// answers. No second look may begin meanwhile.
func TestDiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan int64)
		var looks atomic.Int32
		l := &Looker{Paths: []string{"/nfs"}, statfs: func(string) (stat.Disk, error) {
			looks.Add(1)
			return stat.Disk{Total: <-goOn}, nil
		}}
		start := time.Now()
		unknown := []stat.Disk{{Path: "/nfs", Unknown: true}}
		for range 100 {
			if diff := cmp.Diff(unknown, l.Disks()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		if took := time.Since(start); took != patience || looks.Load() != 1 {
			t.Errorf("100 requests have taken %v and %d looks", took, looks.Load())
		}
		goOn <- 7
		synctest.Wait()
		if got := l.Disks(); got[0].Total != 7 || got[0].Unknown {
			t.Errorf("when it answers: %+v", got)
		}
		time.Sleep(fresh)
		if got := l.Disks(); got[0].Total != 7 {
			t.Errorf("while the next look hangs: %+v", got)
		}
		goOn <- 8
		synctest.Wait()
	})
}

// TestThisMachine checks that the kernel's own files can be read.
func TestThisMachine(t *testing.T) {
	l := &Looker{Paths: []string{"/", "/proc", "/no/such"}}
	m, d := l.Memory(), l.Disks()
	if l.Load() == nil || m == nil || m.Total <= 0 || m.Available < 0 || m.Available > m.Total {
		t.Errorf("%+v, %+v", l.Load(), m)
	}
	if d[0].Unknown || d[0].Total <= 0 || d[0].Available > d[0].Total || d[1].Unknown || !d[2].Unknown {
		t.Errorf("%+v", d)
	}
}
