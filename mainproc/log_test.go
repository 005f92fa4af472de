package mainproc

import (
	"testing"

	"erluv/config"
	"erluv/ipc"
)

// TestTraceIsOneLevel: the configuration and the roles, which do not know each other, have the same
// level trace.
func TestTraceIsOneLevel(t *testing.T) {
	if config.LevelTrace != ipc.LevelTrace {
		t.Errorf("%d and %d", config.LevelTrace, ipc.LevelTrace)
	}
}
