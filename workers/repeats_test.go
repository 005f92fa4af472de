package workers_test

import "runtime/debug"

// repeats is how often a test repeats itself: n times, and a tenth of it with -race, which
// makes each five times dearer. The suite unit-counts has it n times.
func repeats(n int) int {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return n / 10
		}
	}
	return n
}
