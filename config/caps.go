package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Limits bound a program with all its descendants. 0 means no limit.
type Limits struct {
	Memory uint64 // bytes
	PIDs   uint32 // processes and threads
	CPU    uint32 // percent of one processor
}

// The bounds of limits are those of the option limits (erluv-protocol(7)).
const (
	minMemory = 1 << 20
	maxMemory = 1 << 62
	maxPIDs   = 1 << 22
	maxCPU    = 100 * 8192
)

// parseLimits parses name=value with spaces between them.
func parseLimits(v string) (l Limits, err error) {
	if v == "" {
		return l, errEmpty
	}
	var seen []string
	for _, one := range strings.Split(v, " ") {
		name, value, _ := strings.Cut(one, "=")
		if slices.Contains(seen, name) {
			return l, fmt.Errorf("has %s twice", name)
		}
		seen = append(seen, name)
		n := 0
		switch name {
		case "memory":
			l.Memory, err = parseBytes(value)
		case "pids":
			n, err = parseInt(value, 1, maxPIDs)
			l.PIDs = uint32(n)
		case "cpu":
			n, err = parseInt(value, 1, maxCPU)
			l.CPU = uint32(n)
		default:
			return l, errors.New("has a name that is none of memory, pids and cpu")
		}
		if err != nil {
			return l, fmt.Errorf("has a number for %s that %w", name, err)
		}
	}
	return l, nil
}

// parseBytes parses a number of bytes, with K, M, G or T for powers of 1024.
func parseBytes(v string) (uint64, error) {
	digits := strings.TrimRight(v, "KMGT")
	shift := 0
	if unit := v[len(digits):]; len(unit) == 1 {
		shift = 10 * (1 + strings.Index("KMGT", unit))
	} else if unit != "" {
		return 0, errors.New("is no number of bytes")
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case err != nil || strings.HasPrefix(digits, "+"):
		return 0, errors.New("is no number of bytes")
	case n > maxMemory>>shift || n<<shift < minMemory:
		return 0, errors.New("is not from 1M to 4194304T")
	}
	return n << shift, nil
}

// above returns the name of a limit in l that is higher than in caps, or "". In caps, no limit is
// the highest. In l, it means that none was requested.
func (l Limits) above(caps Limits) string {
	switch {
	case caps.Memory > 0 && l.Memory > caps.Memory:
		return "memory"
	case caps.PIDs > 0 && l.PIDs > caps.PIDs:
		return "pids"
	case caps.CPU > 0 && l.CPU > caps.CPU:
		return "cpu"
	}
	return ""
}

// maxDisks bounds the key disks, because each info queries every disk.
const maxDisks = 16

// parseDisks parses paths with spaces between them.
func parseDisks(v string) ([]string, error) {
	if v == "" {
		return nil, errEmpty
	}
	paths := strings.Split(v, " ")
	if len(paths) > maxDisks {
		return nil, fmt.Errorf("has more than %d paths", maxDisks)
	}
	for i, p := range paths {
		switch {
		case !path.IsAbs(p):
			return nil, fmt.Errorf("has %q in it, which is no absolute path", p)
		case slices.Contains(paths[:i], p):
			return nil, fmt.Errorf("has %q twice", p)
		}
	}
	return paths, nil
}

// settleCaps keeps kill_timeout at or below max_kill_timeout. The default is lowered to it. A
// longer value that was set is an error.
func (c *Config) settleCaps() error {
	if c.MaxKillTimeout == 0 || c.KillTimeout <= c.MaxKillTimeout {
		return nil
	}
	if c.isSet("kill_timeout") {
		return fmt.Errorf("is above max_kill_timeout, %v", c.MaxKillTimeout)
	}
	s := c.setting("kill_timeout")
	c.KillTimeout = c.MaxKillTimeout
	s.Value, s.Source = c.MaxKillTimeout.String(), "max_kill_timeout"
	return nil
}
