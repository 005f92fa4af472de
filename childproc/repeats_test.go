package childproc

import "runtime/debug"

// repeats is how often a test repeats itself: n times, or a tenth of that with -race, which makes
// each repetition five times slower. The suite unit-counts runs n repetitions.
func repeats(n int) int {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return n / 10
		}
	}
	return n
}
