// Package measure is what the benchmarks of several rooms have in common.
package measure

import "testing"

// Run runs f again and again, as a part of the benchmark b. It goes through so many bytes
// each time; 0: these are not what takes time. An error ends it.
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
