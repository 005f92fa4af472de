// Package measure has the shared code of the benchmarks of several rooms.
package measure

import "testing"

// Run runs f again and again, as a part of the benchmark b. The parameter bytes is how many bytes
// each call processes, or 0 if the time does not depend on them. An error ends the benchmark.
func Run(b *testing.B, name string, bytes int, f func() error) {
	b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(bytes))
		b.ReportAllocs()
		for b.Loop() {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
