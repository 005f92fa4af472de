package mainproc

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"erluv/config"

	"erluv/sandbox"
)

// wantError compares an error with a part of its text.
func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// TestOldNode: a node registers an older protocol with EPMD.
func TestOldNode(t *testing.T) {
	cfg := newNode(t).config()
	cfg.Address, cfg.EPMDPort = "", fakeEPMD(t, "foo", 1)
	wantError(t, "a node of our version", pinged(t, cfg), "nothing listens")
	cfg.EPMDPort = fakeEPMDOf(t, "foo", 1, 5)
	wantError(t, "an old one", pinged(t, cfg), "versions 5 to 5 of the handshake, not 6")
}

func pinged(t *testing.T, cfg *config.Config) error {
	_, err := Ping(t.Context(), cfg)
	return err
}

// TestExitStatuses: no failure has the status of success, and a machine's lack has its own.
func TestExitStatuses(t *testing.T) {
	if got := ExitStatus(fmt.Errorf("main: %w", &sandbox.Lacking{})); got != 2 {
		t.Errorf("what will never be had: status %d", got)
	}
	if got := ExitStatus(nil); got != 0 {
		t.Errorf("exit status %d", got)
	}
}

// TestInheritable: the inherited environment is bounded, and has no variable of erluv's own.
func TestInheritable(t *testing.T) {
	big := "BIG=" + strings.Repeat("x", maxEnviron)
	list, left := inheritable([]string{"A=1", "ERLUV_COOKIE=" + testCookie, big, "B=2"})
	if fmt.Sprint(list, left) != "[A=1 B=2] 1" {
		t.Errorf("%.100q, %d left out", list, left)
	}
	t.Setenv("BIG", big)
	var log bytes.Buffer
	cfg := newNode(t).config()
	with, err := settingsOf(cfg, 0, slog.New(slog.NewTextHandler(&log, nil)), Options{Version: "1"})
	if err != nil || !strings.Contains(log.String(), "left_out=1") || len(with.Child.Environ) == 0 {
		t.Errorf("log: %s", log.String())
	}
}
