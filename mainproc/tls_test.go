package mainproc

import (
	"net"
	"strings"
	"testing"

	"erluv/config"
)

// TestNoRelay: without a relay there is no connection with TLS, and nothing is left of it.
func TestNoRelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := dialling(l)
	cfg.TLS, cfg.TLSNodes, cfg.Sandbox, cfg.RunAs = true, []string{"*"}, config.SandboxOff, runAs()
	const want = "over TLS: before it served: the relay"
	if _, err := Ping(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("ping: %v", err)
	}
	if _, _, err := Client(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("client: %v", err)
	}
	cfg.RunAs = config.Identity{}
	if _, _, err := Client(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "cannot run programs as uid 0") {
		t.Errorf("as root: %v", err)
	}
	cfg.Sandbox = "other"
	if _, _, err := Client(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "there is no sandbox") {
		t.Errorf("without a sandbox: %v", err)
	}
}
