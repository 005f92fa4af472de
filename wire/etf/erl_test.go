package etf

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// runErl runs an expression on a real node, $ERLUV_ERL or the erl in the PATH, and returns its
// output. The node loads testdata/vectors.erl first. It has a name, for its identifiers, and does
// not listen.
func runErl(t *testing.T, expr string, stdin []byte) []byte {
	t.Helper()
	path := os.Getenv("ERLUV_ERL")
	if path == "" {
		path = "erl"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-noshell", "-name", "local@vectors.invalid",
		"-dist_listen", "false", "-start_epmd", "false",
		"-eval", `{ok, M, B} = compile:file("vectors", [binary, report]),`+
			`{module, M} = code:load_binary(M, "vectors.erl", B),`+expr+`, halt().`)
	cmd.Dir = "testdata"
	cmd.Env = append(os.Environ(), "ERL_CRASH_DUMP=/dev/null")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot have a real node check this: %s: %v\n%s%s", path, err, out, stderr.Bytes())
	}
	return out
}
