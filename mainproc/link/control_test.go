package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"erluv/control"
	"erluv/ipc"
	"erluv/wire/dist/disttest"
	"erluv/wire/etf"
)

// atControl is a house whose door is a control socket.
func atControl(t *testing.T) *house {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(filepath.Join(dir, "x.sock"), false)
	if err != nil {
		t.Fatal(err)
	}
	return newHouse(t, func(h *house) {
		_ = h.door.Close() // the door of TCP
		h.door, h.addr = ControlDoor(l), l.Path()
	})
}

// knocks plays a node that connects there.
func (h *house) knocks(c disttest.Caller) (net.Conn, disttest.Host, error) {
	h.t.Helper()
	conn, err := control.Dial(h.t.Context(), h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(waitBound))
	host, err := c.Connect(conn)
	return conn, host, err
}

// TestControlDoor: the kernel identifies the operator, and the child gets that. The connection of a
// child that has died cannot continue.
func TestControlDoor(t *testing.T) {
	h := atControl(t)
	_, host, err := h.knocks(disttest.Caller{Name: "o@control", Cookie: control.Cookie, Creation: 9})
	if err != nil || host.Name != "us@h" {
		t.Fatalf("%+v, %v", host, err)
	}
	l := h.link()
	defer l.Close()
	us, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	who := fmt.Sprintf("uid %d, pid %d, user %s", os.Geteuid(), os.Getpid(), us.Username)
	if l.Operator() != who || l.Peer.Name != "o@control" {
		t.Errorf("%q, %+v", l.Operator(), l.Peer)
	}
	if _, err := l.transport.position(); !errors.Is(err, errUnknown) {
		t.Errorf("its position: %v", err)
	}
	var told ipc.Link
	if err := l.Give(func(m ipc.Message, _ ...int) error { told = m.(ipc.Link); return nil }); err != nil {
		t.Fatal(err)
	}
	if told.Operator != who || told.Transport != "unix" || !told.Accepted || told.Target != "o@control" {
		t.Errorf("the child is told %+v", told)
	}
	if _, err := l.Keep(etf.Atom("test"), "erluv", time.Second); !errors.Is(err, errUnknown) {
		t.Errorf("it is kept: %v", err)
	}
	l.Close()
	if l.Operator() != "" {
		t.Error("a closed link has an operator")
	}
}

func TestControlDoorRefuses(t *testing.T) {
	h := atControl(t)
	for name, cookie := range map[string]string{"n@h": control.Cookie, "@control": control.Cookie, "o@control": houseCookie} {
		_, host, err := h.knocks(disttest.Caller{Name: name, Cookie: cookie, Creation: 9})
		if err == nil && host.Status != "not_allowed" {
			t.Errorf("%s with the cookie %s is taken: %+v", name, cookie, host)
		}
	}
	select {
	case l := <-h.links:
		t.Errorf("a link to %s", l.Peer.Name)
	default:
	}
	// A connection without credentials is not one of that socket.
	ours, theirs := net.Pipe()
	defer theirs.Close()
	guest := newGuest(t.Context(), ours)
	defer guest.end()
	if _, _, err := ControlDoor(nil).Carry(guest); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Error(err)
	}
	if _, err := theirs.Write([]byte{1}); err == nil {
		t.Error("it is left open")
	}
}
