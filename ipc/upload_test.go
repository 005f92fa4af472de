package ipc

import (
	"crypto/sha256"
	"encoding/binary"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUploadArguments(t *testing.T) {
	for _, u := range []Upload{{Path: "/a b\n", Mode: 0o604, Mkdir: true, Size: -1}, {Path: "/", Mode: 0o777, Size: 1 << 60}, {}} {
		args := u.Args()
		if got, err := UploadOf(args[2:]); err != nil || !reflect.DeepEqual(*got, u) {
			t.Errorf("%q: %+v, %v", args, got, err)
		}
		if args[1] != UploadRole {
			t.Errorf("%q", args)
		}
	}
	for _, args := range [][]string{nil, {"644", "true", "1"}, {"8", "true", "1", "/"}, {"1000", "true", "1", "/"}, {"644", "x", "1", "/"}, {"644", "true", "x", "/"}} {
		if u, err := UploadOf(args); err == nil {
			t.Errorf("%q: %+v", args, u)
		}
	}
}

func TestUploadFrames(t *testing.T) {
	frame := AppendChunk(nil, []byte("abc"))
	if n, commit, err := ChunkLength([UploadHead]byte(frame)); n != 3 || commit || err != nil || string(frame[UploadHead:]) != "abc" {
		t.Errorf("%q: %d, %v, %v", frame, n, commit, err)
	}
	sum := sha256.Sum256([]byte("abc"))
	for _, want := range []*[sha256.Size]byte{&sum, nil} {
		frame := AppendCommit(nil, want)
		if _, commit, err := ChunkLength([UploadHead]byte(frame)); !commit || err != nil || len(frame) != UploadHead+CommitRest {
			t.Errorf("%q: %v, %v", frame, commit, err)
		}
		if got := CommitSum([CommitRest]byte(frame[UploadHead:])); !reflect.DeepEqual(got, want) {
			t.Errorf("%x, not %x", got, want)
		}
	}
	if _, _, err := ChunkLength([UploadHead]byte(binary.LittleEndian.AppendUint32(nil, MaxUploadChunk+1))); err == nil {
		t.Error("a chunk may be too large")
	}
	a := UploadAnswer{Errno: unix.EBADMSG, Sum: sum}
	if got := ReadUploadAnswer([UploadAnswerSize]byte(a.Append(nil))); got != a {
		t.Errorf("%+v", got)
	}
}
