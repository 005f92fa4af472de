package workers_test

import (
	"fmt"
	"testing"

	"erluv/ipc"
	"erluv/workers"
)

// BenchmarkSpawn starts a static program that ends at once, so many at a time.
func BenchmarkSpawn(b *testing.B) {
	for _, atOnce := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d at once", atOnce), func(b *testing.B) {
			w := newWorld(b, !ipc.PidfdsSuffice())
			left, running := b.N, 0
			h := &again{host: w.host}
			done := make(chan struct{})
			sp := command(prog, "exit", "0")
			h.next = func() {
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
				for running = range min(atOnce, b.N) {
					h.next()
				}
				running++
			})
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "programs/s")
		})
	}
}

// again is a host that starts the next when one is over.
type again struct {
	*host
	next func()
}

func (a *again) Gone(w *workers.Worker, e workers.Exit) {
	a.host.Gone(w, e)
	a.next()
}

// BenchmarkOutput reads what a program writes.
func BenchmarkOutput(b *testing.B) {
	w := newWorld(b, !ipc.PidfdsSuffice())
	w.do(func() { w.host.buf = make([]byte, 256<<10) })
	b.SetBytes(256 << 20)
	b.ResetTimer()
	for range b.N {
		w.do(func() { w.host.took = func(r *run) { r.out[workers.Stdout] = r.out[workers.Stdout][:0] } })
		r := w.start(command("head", "-c", "256M", "/dev/zero"))
		w.await("the flood", func() bool { return r.Bytes(workers.Stdout) == 256<<20 })
		w.do(func() { r.out[workers.Stdout] = make([]byte, 256<<20) })
		w.finish(r)
	}
}
