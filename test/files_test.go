package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// shelf makes a directory where a worker may write.
func shelf(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path, err := os.MkdirTemp(dir, "shelf-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// A link that somebody else has put where output is to go is not followed, nor
// is a file of somebody else written to.
func TestOutputThatOthersHavePlaced(t *testing.T) {
	e := common(t)
	place := shelf(t, 0o777|os.ModeSticky)
	target := filepath.Join(shelf(t, 0o777), "target")
	if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o666); err != nil {
		t.Fatal(err)
	}
	makes := map[string]int{"mine": int(workerID)}
	if os.Getuid() == 0 {
		makes["root's"], makes["another's"] = 0, 4001
	}
	for who, uid := range makes {
		link, file, folder := filepath.Join(place, who+" link"), filepath.Join(place, who+" file"), filepath.Join(place, who+" folder")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Dir(target), folder); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{link, file, folder} {
			if err := os.Lchown(path, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(file, 0o666); err != nil {
			t.Fatal(err)
		}
		want := "{error,{stdout,eacces}}"
		if uid == 0 || uid == int(workerID) {
			want = "{none,<<>>,{exit_status,0},normal}"
		}
		for _, path := range []string{link, file, folder + "/inside"} {
			e.expect(t, want, `
				case e2e:call(E, {spawn, "echo new", #{stdout => {file, Path}}}) of
					{ok, W} -> e2e:outcome(W);
					Error -> Error
				end`, bind{"Path": path})
		}
		text, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		if followed := string(text) == "new\n"; followed != (want[1] == 'n') {
			t.Errorf("%s: the target holds %q", link, text)
		}
		if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		inside, err := os.Stat(filepath.Join(filepath.Dir(target), "inside"))
		if (err == nil) != (want[1] == 'n') {
			t.Errorf("%s/inside: %v", folder, err)
		} else if err == nil && inside.Sys().(*syscall.Stat_t).Uid != workerID {
			t.Errorf("%s/inside belongs to %d", folder, inside.Sys().(*syscall.Stat_t).Uid)
		}
		_ = os.Remove(filepath.Join(filepath.Dir(target), "inside"))
	}
}
