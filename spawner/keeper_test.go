package spawner

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestAsKeeper: only the calling thread acts on files as the keeper, until it goes back. Without a
// keeper nothing changes.
func TestAsKeeper(t *testing.T) {
	own := ownIDs()
	if own.kept() || own.user != os.Geteuid() {
		t.Fatalf("%+v", own)
	}
	asKeeper()()
	if os.Geteuid() != 0 {
		return // only root can have a keeper
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir := tree(t)
	must(t, os.Chmod(dir, 0o777))
	ownerOf := func(name string) uint32 {
		must(t, os.WriteFile(dir+"/"+name, nil, 0o600))
		var st unix.Stat_t
		must(t, unix.Stat(dir+"/"+name, &st))
		return st.Uid
	}
	defer setFileID(setFileID(61_234))
	if uid := ownerOf("keeper's"); uid != 61_234 {
		t.Errorf("it acts as %d", uid)
	}
	if before := setFileID(61_235); before != 61_234 {
		t.Errorf("before it acted as %d", before)
	}
	if before := setFileID(0); before != 61_235 || ownerOf("root's") != 0 {
		t.Errorf("before it acted as %d, and does not as root", before)
	}
}

// TestNumber: the text of the link self of a /proc is a number, or not.
func TestNumber(t *testing.T) {
	for text, want := range map[string]int{"4711": 4711, "1": 1, "": 0, "self": 0} {
		var room [maxNumber]byte
		copy(room[:], text)
		if got := number(room[:]); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if isInit() {
		t.Error("the test is no init")
	}
}

// TestFurtherDescriptors: a program has each descriptor at its number, even if another descriptor
// is in its way, and none between.
func TestFurtherDescriptors(t *testing.T) {
	l := here(t)
	for _, way := range []func(m *ipc.Spawn){func(*ipc.Spawn) {}, func(m *ipc.Spawn) { byTheRole(t, m) }} {
		m := program("/bin/sh", "-c", "cat <&7; for i in 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$i ] && echo $i; done; :")
		r, w := pipe(t)
		in, from := pipe(t)
		_, err := fmt.Fprint(from, "further\n")
		must(t, err)
		from.Close()
		m.Streams[1] = ipc.Stream{FD: 1, Source: ipc.SourceFD}
		m.Streams = append(m.Streams, ipc.Stream{FD: 4, Source: ipc.SourceDup}, ipc.Stream{FD: 7, Source: ipc.SourceFD}, ipc.Stream{FD: 9, Source: ipc.SourceNull})
		way(m)
		is, with := l.starts(m, int(w.Fd()), int(in.Fd()))
		w.Close()
		if got := all(t, r); got != "further\n4\n7\n9\n" {
			t.Errorf("%q", got)
		}
		l.ends(is)
		ipc.CloseAll(with.List())
	}
}
