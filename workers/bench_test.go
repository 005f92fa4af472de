package workers_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"erluv/ipc"
	"erluv/workers"
)

// smallest writes the smallest static program that ends at once: an ELF header, one program header
// (elf(5)) and exit(0).
func smallest(b *testing.B) string {
	b.Helper()
	arch := map[string]struct {
		machine uint16
		code    []byte
	}{
		"amd64": {62, []byte{0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05}},
		"arm64": {183, []byte{0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 1, 0, 0, 0xd4}},
	}[runtime.GOARCH]
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(arch.code))
	var f bytes.Buffer
	f.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, v := range []any{
		uint16(2), arch.machine, uint32(1), uint64(base + headers), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000),
	} {
		_ = binary.Write(&f, binary.LittleEndian, v)
	}
	f.Write(arch.code)
	path := filepath.Join(b.TempDir(), "smallest")
	if err := os.WriteFile(path, f.Bytes(), 0o755); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkSpawn starts a static program that ends at once, one or 16 at a time.
func BenchmarkSpawn(b *testing.B) {
	for _, atOnce := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d at once", atOnce), func(b *testing.B) {
			w := newWorld(b, !ipc.PidfdsSuffice())
			sp := command(smallest(b))
			left, running := b.N, 0
			done := make(chan struct{})
			h := &bench{host: w.host}
			h.gone = func() {
				if left > 0 {
					left--
					workers.New(h, w.starter, sp, &run{host: w.host})
				} else if running--; running == 0 {
					close(done)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			w.do(func() {
				for range min(atOnce, b.N) {
					running++
					h.gone()
				}
			})
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "programs/s")
		})
	}
}

// bench is a host that records nothing.
type bench struct {
	*host
	gone  func()
	bytes int
}

func (h *bench) Notified(*workers.Worker, workers.Notice) {}

func (h *bench) Took(_ *workers.Worker, _ workers.Stream, _ workers.Space, n int) {
	h.open = nil
	h.bytes += n
}

func (h *bench) Gone(*workers.Worker, workers.Exit) { h.gone() }

// BenchmarkOutput reads the output of a program.
func BenchmarkOutput(b *testing.B) {
	w := newWorld(b, !ipc.PidfdsSuffice())
	const size = 256 << 20
	done := make(chan struct{})
	h := &bench{host: w.host, gone: func() { done <- struct{}{} }}
	b.SetBytes(size)
	b.ResetTimer()
	for range b.N {
		w.do(func() {
			w.host.buf = make([]byte, 256<<10)
			workers.New(h, w.starter, command("head", "-c", fmt.Sprint(size), "/dev/zero"), &run{host: w.host})
		})
		<-done
	}
	if h.bytes != size*b.N {
		b.Errorf("%d bytes, want %d", h.bytes, size*b.N)
	}
}
