package ipc

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Upload is a file that the role upload writes. The spawner starts a process of that role for each
// file, like a program of the file's owner. The child streams to it:
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
	Mkdir bool  // missing directories are made
	Size  int64 // of the whole file; -1: unknown
}

// MaxUploadChunk bounds a chunk, in bytes.
const MaxUploadChunk = 1 << 20

// commitLength is the length that marks a commit.
const commitLength = 1<<32 - 1

// UploadRole is the first argument of the process.
const UploadRole = "upload"

// Args returns the arguments of the process, with its name.
func (u *Upload) Args() []string {
	return []string{"erluv", UploadRole, strconv.FormatUint(uint64(u.Mode), 8), strconv.FormatBool(u.Mkdir), strconv.FormatInt(u.Size, 10), u.Path}
}

// UploadOf parses the arguments behind the name of the role.
func UploadOf(args []string) (*Upload, error) {
	if len(args) != 4 {
		return nil, errors.New("it takes a mode, whether directories are made, a size and a path")
	}
	mode, err1 := strconv.ParseUint(args[0], 8, 9)
	mkdir, err2 := strconv.ParseBool(args[1])
	size, err3 := strconv.ParseInt(args[2], 10, 64)
	return &Upload{Path: args[3], Mode: uint32(mode), Mkdir: mkdir, Size: size}, errors.Join(err1, err2, err3)
}

// AppendChunk appends data to b in the form of a chunk.
func AppendChunk(b, data []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
}

// AppendCommit appends the end of the file. The role checks sum unless it is nil.
func AppendCommit(b []byte, sum *[sha256.Size]byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, commitLength)
	if sum == nil {
		return append(b, make([]byte, 1+sha256.Size)...)
	}
	return append(append(b, 1), sum[:]...)
}

// UploadHead is the size of the head of a chunk or commit, in bytes. CommitRest is the size of a
// commit behind its head.
const (
	UploadHead = 4
	CommitRest = 1 + sha256.Size
)

// ChunkLength decodes a head: the length of a chunk, or a commit.
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

// CommitSum decodes a commit behind its head; nil: there is no sum to check.
func CommitSum(rest [CommitRest]byte) *[sha256.Size]byte {
	if rest[0] == 0 {
		return nil
	}
	return (*[sha256.Size]byte)(rest[1:])
}

// UploadAnswer answers the opening of the file, a chunk or the commit.
type UploadAnswer struct {
	Errno unix.Errno // 0: done; EBADMSG for a commit with another sum
	Sum   [sha256.Size]byte
}

// UploadAnswerSize is the size of an answer, in bytes.
const UploadAnswerSize = 4 + sha256.Size

// Append appends the answer to b.
func (a *UploadAnswer) Append(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(a.Errno)), a.Sum[:]...)
}

// ReadUploadAnswer decodes an answer.
func ReadUploadAnswer(b [UploadAnswerSize]byte) UploadAnswer {
	return UploadAnswer{unix.Errno(binary.LittleEndian.Uint32(b[:])), [sha256.Size]byte(b[4:])}
}
