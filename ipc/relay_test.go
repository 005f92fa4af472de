package ipc

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestMaterial: Unpack returns what Pack has written, even if that is larger than a packet. It does
// not trust the sizes in a message.
func TestMaterial(t *testing.T) {
	sent := Material{CA: bytes.Repeat([]byte("ca"), MaxPacket), Cert: []byte("cert"), Key: []byte("key")}
	m := StartRelay{ServerName: "host"}
	fd, err := sent.Pack(&m)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	got, err := m.Unpack(fd)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Error(diff)
	}
	for want, change := range map[string]func(*StartRelay){
		"end after":    func(m *StartRelay) { m.Key++ },
		"the limit is": func(m *StartRelay) { m.Cert = 1<<32 - 1 },
	} {
		other := m
		change(&other)
		if _, err := other.Unpack(fd); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", other, err)
		}
	}
	if _, err := (Material{Key: make([]byte, MaxMaterial+1)}).Pack(&m); err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("too much: %v", err)
	}
}
