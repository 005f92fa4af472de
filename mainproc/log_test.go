package mainproc

import (
	"testing"

	"erluv/config"
	"erluv/ipc"
)

// The configuration and the roles, which do not know each other, mean the same by trace.
func TestTraceIsOneLevel(t *testing.T) {
	if config.LevelTrace != ipc.LevelTrace {
		t.Errorf("%d and %d", config.LevelTrace, ipc.LevelTrace)
	}
}
