package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// An ordinary user needs none of root's privileges for all of this. erluv reports settings without
// effect. If the test runs as root, it becomes an ordinary user.
func TestOrdinaryUser(t *testing.T) {
	home := t.TempDir()
	if err := os.Chmod(filepath.Dir(home), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		".erluv.conf": "node = 'a@vm'\ncookie_file = '~/mine'\nuser = 'bin'\n", "mine": "s3cret\n", "other": "s3cret\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	us := os.Getuid()
	if us == 0 {
		for _, name := range []string{"", ".erluv.conf", "mine"} { // not other
			if err := os.Chown(filepath.Join(home, name), nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	run := func(args ...string) (stdout, stderr string, status int) {
		cmd := erluv(t, []string{"TEST_SERVE=up", "HOME=" + home}, args...)
		cmd.Path, cmd.Dir = filepath.Join(home, "erluv"), "/"
		if us == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		var out, diag strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &diag
		status = exitCode(t, cmd.Run())
		return out.String(), diag.String(), status
	}
	install(t, filepath.Join(home, "erluv"))

	out, diag, status := run("config")
	if status != 0 || !strings.Contains(out, home+"/.erluv.conf:1") {
		t.Errorf("status %d, %s%s", status, out, diag)
	}
	if strings.Count(diag, "\n") != 1 || !strings.Contains(diag, "user from "+home+"/.erluv.conf:3 is ignored: only root can become another") {
		t.Errorf("diagnostics: %s", diag)
	}
	_, diag, status = run("ping", "--address", "127.0.0.1:1")
	if status != 1 || !strings.Contains(diag, "nothing listens at 127.0.0.1:1") {
		t.Errorf("status %d, %s", status, diag)
	}
	if us == 0 {
		_, diag, status = run("ping", "--config", "none", "--node=a@vm", "--cookie-file", home+"/other")
		if status != 2 || !strings.Contains(diag, "/other belongs to root, and must belong to nobody") &&
			!strings.Contains(diag, "cannot open") {
			t.Errorf("status %d, %s", status, diag)
		}
	}
}

// install copies the test binary to a place where all users can run it.
func install(t *testing.T, path string) {
	t.Helper()
	from, err := exec.LookPath("erluv")
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
