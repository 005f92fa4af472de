//go:build !amd64 && !arm64

package sandbox

// This architecture has no table of system calls: Choose refuses the modes auto and strict.
const (
	auditArch = 0
	foreign   = 0
)

var settingLimits []struct{ arch, call uint32 }

func childTable(uint64) []line { return nil }
func relayTable(uint64) []line { return nil }
func pageTable(uint64) []line  { return nil }

const compatArch = 0

var numbers map[string]number
