package dist_test

import (
	"testing"

	"erluv/wire/dist"
)

// The values were taken from nodes of OTP 23 to 29, which accepted them.
func TestFlagValues(t *testing.T) {
	for name, c := range map[string]struct{ got, want dist.Flags }{
		"Default":     {dist.Default, 0x4074F5FBC},
		"Mandatory25": {dist.Mandatory25, 0x1070F94},
		"Mandatory26": {dist.Mandatory26, 0x403070F94},
	} {
		if c.got != c.want {
			t.Errorf("%s = %#x, want %#x", name, uint64(c.got), uint64(c.want))
		}
	}
}

func TestFlagsString(t *testing.T) {
	for want, f := range map[string]dist.Flags{
		"none":              0,
		"PUBLISHED":         dist.FlagPublished,
		"UNLINK_ID V4_NC":   dist.FlagV4NC | dist.FlagUnlinkID,
		"ALIAS bit 63":      dist.FlagAlias | 1<<63,
		"SPAWN bit 36":      dist.FlagSpawn | 1<<36,
		"EXIT_PAYLOAD":      dist.FlagExitPayload,
		"HIDDEN_ATOM_CACHE": dist.FlagHiddenAtomCache,
	} {
		if got := f.String(); got != want {
			t.Errorf("%#x is %q, want %q", uint64(f), got, want)
		}
	}
}
