package ipc

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Upload is a file that the role upload writes. The spawner starts one process of that role for
// each, as any program of the user to whom the file is to belong; the child streams to it:
//
//	child                                    upload (its stdin and stdout)
//	  │ ◄───────────────────────────── answer │  the file is open, and has no name
//	  │ length:32, so many bytes ───────────► │  written
//	  │ ◄───────────────────────────── answer │  once for each
//	  │ 2^32-1, checked:8, sum:32 bytes ────► │  the file gets its name, and is on disk
//	  │ ◄───────────────────────────── answer │  then the process ends
//	  ·  end of file                          ·  before that: nothing is left
//
// An answer is an UploadAnswer. After one with an error the process ends.
type Upload struct {
	Path  string
	Mode  uint32
	Mkdir bool  // directories on the way are made
	Size  int64 // of all of it; -1: not known
}

// MaxUploadChunk bounds what is written at once, in bytes.
const MaxUploadChunk = 1 << 20

// commitLength stands for a length where no more bytes follow.
const commitLength = 1<<32 - 1

// UploadRole is the first argument of the process.
const UploadRole = "upload"

// Args are the arguments of the process, with its name.
func (u *Upload) Args() []string {
	return []string{"erluv", UploadRole, strconv.FormatUint(uint64(u.Mode), 8), strconv.FormatBool(u.Mkdir), strconv.FormatInt(u.Size, 10), u.Path}
}

// UploadOf reads the arguments behind the name of the role.
func UploadOf(args []string) (*Upload, error) {
	if len(args) != 4 {
		return nil, errors.New("it takes a mode, whether directories are made, a size and a path")
	}
	mode, err1 := strconv.ParseUint(args[0], 8, 9)
	mkdir, err2 := strconv.ParseBool(args[1])
	size, err3 := strconv.ParseInt(args[2], 10, 64)
	return &Upload{Path: args[3], Mode: uint32(mode), Mkdir: mkdir, Size: size}, errors.Join(err1, err2, err3)
}

// AppendChunk appends data to b, as it is written to the process.
func AppendChunk(b, data []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
}

// AppendCommit appends the end of the file; sum is compared unless it is nil.
func AppendCommit(b []byte, sum *[sha256.Size]byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, commitLength)
	if sum == nil {
		return append(b, make([]byte, 1+sha256.Size)...)
	}
	return append(append(b, 1), sum[:]...)
}

// UploadHead is how many bytes stand before those of a chunk; CommitRest how many follow a head
// that is a commit's.
const (
	UploadHead = 4
	CommitRest = 1 + sha256.Size
)

// ChunkLength reads a head: how many bytes follow, or that the file ends.
func ChunkLength(head [UploadHead]byte) (n int, commit bool, err error) {
	length := binary.LittleEndian.Uint32(head[:])
	if length == commitLength {
		return 0, true, nil
	}
	if length > MaxUploadChunk {
		return 0, false, fmt.Errorf("ipc: a chunk of %d bytes, the limit is %d", length, MaxUploadChunk)
	}
	return int(length), false, nil
}

// CommitSum reads what follows the head of a commit; nil: nothing is to be compared.
func CommitSum(rest [CommitRest]byte) *[sha256.Size]byte {
	if rest[0] == 0 {
		return nil
	}
	return (*[sha256.Size]byte)(rest[1:])
}

// UploadAnswer says what has become of the file, of a chunk or of the commit.
type UploadAnswer struct {
	Errno unix.Errno // 0: it is done; EBADMSG of a commit: the sum is another
	Sum   [sha256.Size]byte
}

// UploadAnswerSize is its size, in bytes.
const UploadAnswerSize = 4 + sha256.Size

// Append appends the answer to b.
func (a *UploadAnswer) Append(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(a.Errno)), a.Sum[:]...)
}

// ReadUploadAnswer reads one.
func ReadUploadAnswer(b [UploadAnswerSize]byte) UploadAnswer {
	return UploadAnswer{unix.Errno(binary.LittleEndian.Uint32(b[:])), [sha256.Size]byte(b[4:])}
}
