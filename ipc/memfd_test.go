package ipc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestPackSpawn(t *testing.T) {
	for _, size := range []int{0, MaxPacket, 1 << 20, 6 << 20} {
		want := &Spawn{Program: "p", Args: []string{strings.Repeat("a", size)}}
		a, b := pair(t)
		before := openFDs(t)
		packet, memfd, err := PackSpawn(want.Seq, Append(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		var send []int
		if memfd >= 0 {
			send = append(send, memfd)
		}
		if err := a.TrySend(packet, send...); err != nil {
			t.Fatal(err)
		}
		CloseAll(send)
		buf := make([]byte, MaxPacket)
		n, fds, err := b.TryRecv(buf)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(buf[:n])
		if m, ok := got.(SpawnInMemfd); ok && err == nil {
			if len(fds) != 1 || m.Seq != want.Seq {
				t.Fatalf("%d bytes: descriptors %v", size, fds)
			}
			got, err = UnpackSpawn(m, fds[0])
		} else if size >= MaxPacket {
			t.Errorf("%d bytes came as %T", size, got)
		}
		if diff := cmp.Diff(Message(want), got); err != nil || diff != "" {
			t.Errorf("%d bytes: %v %s", size, err, diff)
		}
		CloseAll(fds)
		if after := openFDs(t); after != before {
			t.Errorf("%d bytes: %d descriptors, before %d", size, after, before)
		}
	}
	if _, _, err := PackSpawn(1, make([]byte, MaxSpawn+1)); err != unix.E2BIG {
		t.Errorf("beyond MaxSpawn: %v", err)
	}
}

func TestUnpackSpawnRefuses(t *testing.T) {
	memfd := func(b []byte) int {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if _, err := unix.Write(fd, b); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	good := Append(nil, &Spawn{Program: "p"})
	size := uint32(len(good))
	for name, tt := range map[string]struct {
		size uint32
		fd   int
		want string
	}{
		"too large":            {MaxSpawn + 1, memfd(good), "the limit is"},
		"shorter than it says": {size + 1, memfd(good), "ends after"},
		"cut":                  {size - 1, memfd(good), "with"},
		"another message":      {1, memfd(Append(nil, Ready{})), "instead of a spawn request"},
		"a pipe":               {size, pipes(t, 1)[0], "cannot read"},
		"junk":                 {3, memfd([]byte("abc")), "no message"},
	} {
		if m, err := UnpackSpawn(SpawnInMemfd{Size: tt.size}, tt.fd); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want %q", name, m, err, tt.want)
		}
	}
}
