package packaging

import (
	"os/exec"
	"strings"
	"testing"
)

// The homepage is the page of the clone's origin, without a user's name or password.
func TestHomepage(t *testing.T) {
	for origin, want := range map[string]string{
		"https://example.com/a/erluv.git":         "https://example.com/a/erluv",
		"https://example.com/a/erluv/":            "https://example.com/a/erluv",
		"https://me:secret@example.com/erluv.git": "https://example.com/erluv",
		"http://example.com/erluv":                "http://example.com/erluv",
		"git@example.com:a/erluv.git":             "https://example.com/a/erluv",
		"example.com:a/erluv":                     "https://example.com/a/erluv",
		"ssh://git@example.com:2222/a/erluv.git":  "https://example.com/a/erluv",
		"git+ssh://example.com/a/erluv":           "https://example.com/a/erluv",
		"git://example.com/a/erluv.git":           "https://example.com/a/erluv",
		"/srv/git/erluv.git":                      "",
		"../erluv":                                "",
		"file:///srv/git/erluv":                   "",
		"":                                        "",
	} {
		cmd := exec.Command("./homepage")
		cmd.Stdin = strings.NewReader(origin + "\n")
		if got := strings.TrimSpace(output(t, cmd)); got != want {
			t.Errorf("%q: %q, want %q", origin, got, want)
		}
	}
}
