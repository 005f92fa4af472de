package mainproc

import (
	"log/slog"
	"strings"
	"testing"

	"erluv/config"
	"erluv/ipc"
	"erluv/test/scarce"

	"golang.org/x/sys/unix"
)

// TestScarceDescriptors: main reports each failure for lack of descriptors, and then has no more of
// them than before. Package crew tests the rest.
func TestScarceDescriptors(t *testing.T) {
	cfg := newNode(t).config()
	log := slog.New(slog.DiscardHandler)
	for name, f := range map[string]func(t *testing.T, limited func(func() error) error) error{
		"standard input": func(t *testing.T, limited func(func() error) error) error {
			var p [2]int
			if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			defer ipc.CloseAll(p[:])
			return limited(func() error {
				in, err := watchInput(p[0], func() {})
				in.stop()
				return err
			})
		},
		"all of it": func(_ *testing.T, limited func(func() error) error) error {
			cfg := *cfg
			cfg.Address, cfg.Contain, cfg.Sandbox = "127.0.0.1:1", "group", config.SandboxAuto
			return limited(func() error {
				err := Run(t.Context(), &cfg, log, Options{})
				if err != nil && strings.Contains(err.Error(), "nothing listens") {
					return nil // it has come as far as that
				}
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			scarce.Try(t, func(limited func(func() error) error) error { return f(t, limited) })
		})
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}
