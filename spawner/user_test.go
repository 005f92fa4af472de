package spawner

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A user who is refused is there or is not, by name and by number.
func TestLookFor(t *testing.T) {
	for name, want := range map[string]unix.Errno{
		"daemon": unix.EPERM, "1": unix.EPERM, "root": unix.EPERM, "0": unix.EPERM,
		"no such user": unix.ENOENT, "4711": unix.ENOENT, "-1": unix.ENOENT, "99999999999": unix.ENOENT,
	} {
		if got := lookFor(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// Another terminal has the settings and the size of the first, and what is no terminal
// has none.
func TestAnotherTerminal(t *testing.T) {
	like, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(like)
	settings, err := unix.IoctlGetTermios(like, unix.TCGETS2)
	if err != nil {
		t.Fatal(err)
	}
	settings.Lflag &^= unix.ECHO
	settings.Cc[unix.VINTR] = 24
	size := unix.Winsize{Row: 7, Col: 11}
	if err := unix.IoctlSetTermios(like, unix.TCSETS2, settings); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(like, unix.TIOCSWINSZ, &size); err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := anotherTerminal(like)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ours)
	defer unix.Close(theirs)
	got, err1 := unix.IoctlGetTermios(theirs, unix.TCGETS2)
	same, err2 := unix.IoctlGetWinsize(theirs, unix.TIOCGWINSZ)
	if err1 != nil || err2 != nil || *got != *settings || *same != size {
		t.Errorf("%+v, %+v, %v, %v; want %+v, %+v", got, same, err1, err2, settings, size)
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if _, _, err := anotherTerminal(null); err != unix.ENOTTY {
		t.Errorf("like /dev/null: %v", err)
	}
}
