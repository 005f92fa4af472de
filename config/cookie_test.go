package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCookieSource: CookieSource names each source of a cookie.
func TestCookieSource(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cookie")
	if err := os.WriteFile(file, []byte("CHOCOLATE"), 0o400); err != nil {
		t.Fatal(err)
	}
	sources := Sources{
		Args:    map[string]string{FileKey: "none", "node": "foo@127.0.0.1", "cookie_file": file},
		Machine: Machine{Home: dir, UID: os.Getuid(), GID: os.Getgid(), Hostname: func() (string, error) { return "h", nil }, Canonical: func(host string) (string, error) { return host, nil }},
	}
	for want, environ := range map[string][]string{file: nil, "ERLUV_COOKIE": {"ERLUV_COOKIE=" + "CHOCOLATE"}} {
		sources.Environ = environ
		cfg, _, err := Load(sources)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.CookieSource(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
