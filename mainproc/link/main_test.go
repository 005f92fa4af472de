package link

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/childproc"
	"erluv/spawner"

	"go.uber.org/goleak"
)

// The test binary plays both roles of erluv, for TestTorn.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if play, ok := map[string]func() error{"child": childproc.Main, "spawner": spawner.Main}[os.Args[1]]; ok {
			status := 0
			if err := play(); err != nil {
				fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
				status = 1
			}
			syscall.Exit(status) // os.Exit waits a second with -race
		}
	}
	goleak.VerifyTestMain(m)
}

const waitBound = 2 * time.Minute // bounds waits that are short unless the machine is loaded

// wantError compares an error with a part of its text.
func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}
