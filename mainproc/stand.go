package mainproc

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"erluv/ipc/journal"
	"erluv/wire/dist"

	"golang.org/x/sys/unix"
)

// position is where a connection stands, in bytes since it was made, the SYN and
// what else the kernel counts included: only differences mean anything.
type position struct{ written, read uint64 }

// stand is what is left to do on a connection whose child has died.
type stand struct {
	// Out is to be written before anything else: the rest of the frame in which
	// the child was interrupted, if any, then whole frames.
	Out []byte
	// In was read from the connection and not handled: whole frames, then perhaps
	// the beginning of one.
	In []byte
	// Skip is how many bytes are to be dropped of what is read next, before the
	// first frame. With them there is no In.
	Skip int
}

// standing says where the child, which was given the connection fd at base, and
// the journal, has left it. The child must have been reaped: all of its threads are
// gone then, and nobody else reads or writes. All that the journal says is taken as
// the word of somebody hostile. With an error nothing more can be done on the
// connection but to close it.
func standing(fd int, base position, j *journal.Journal) (stand, error) {
	now, err := positionOf(fd)
	if err != nil {
		return stand{}, err
	}
	if now.written < base.written || now.read < base.read {
		return stand{}, fmt.Errorf("the connection stands at %v, which is before %v, where the child was given it", now, base)
	}
	return recall(j, now.written-base.written, now.read-base.read)
}

var errJournal = errors.New("the journal of the child contradicts the connection")

// recall takes from the journal what is left when written and read bytes have gone
// through the connection since the child was given it.
func recall(j *journal.Journal, written, read uint64) (stand, error) {
	r, err := j.Read()
	if err != nil {
		return stand{}, err
	}
	if r.Over {
		return stand{}, errors.New("the child had given the connection up")
	}
	s, err := recallIn(j, r, read)
	if err != nil {
		return stand{}, err
	}
	s.Out, err = recallOut(j, r, written)
	return s, err
}

// recallOut: of the frames at OutPos, written tells how much went out.
func recallOut(j *journal.Journal, r journal.Record, written uint64) ([]byte, error) {
	if written < r.OutPos || written-r.OutPos > uint64(r.OutLen) {
		return nil, fmt.Errorf("%w: %d bytes were written, but its frames are those from %d to %d",
			errJournal, written, r.OutPos, r.OutPos+uint64(r.OutLen))
	}
	frames, err := j.Out(r.OutOff, r.OutLen)
	if err != nil {
		return nil, err
	}
	whole, err := dist.Whole(frames)
	if err == nil && whole != len(frames) {
		err = fmt.Errorf("%d bytes of no whole frame", len(frames)-whole)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: of the frames to be written: %w", errJournal, err)
	}
	return frames[written-r.OutPos:], nil
}

// recallIn: of the bytes from InPos on, read tells how many there are.
func recallIn(j *journal.Journal, r journal.Record, read uint64) (stand, error) {
	if read < r.InPos || read-r.InPos < uint64(r.InLen) {
		return stand{}, fmt.Errorf("%w: %d bytes were read, but it has them up to %d", errJournal, read, r.InPos+uint64(r.InLen))
	}
	n := read - r.InPos
	if n <= uint64(r.InSkip) {
		return stand{Skip: r.InSkip - int(n)}, nil
	}
	if n > uint64(journal.InSize-r.InOff) {
		return stand{}, fmt.Errorf("%w: %d bytes were read to %d, the room ends at %d", errJournal, n, r.InOff, journal.InSize)
	}
	in, err := j.In(r.InOff+r.InSkip, int(n)-r.InSkip)
	if err != nil {
		return stand{}, err
	}
	if _, err := dist.Whole(in); err != nil {
		return stand{}, fmt.Errorf("%w: of what was read: %w", errJournal, err)
	}
	return stand{In: in}, nil
}

// positionBound is how long positionOf may take to see the connection without
// anything arriving: nobody reads, so it is still at the latest when its buffer is
// full.
const positionBound = time.Second

// positionOf says where a TCP connection stands that nobody else reads or writes,
// in both directions. What the peer sends or acknowledges meanwhile does not alter
// it: written is what was acknowledged and what was not, read is what has arrived
// less what waits. Both are taken again until nothing has come between.
func positionOf(fd int) (position, error) {
	for end := time.Now().Add(positionBound); ; time.Sleep(50 * time.Microsecond) {
		before, err := tcpInfo(fd)
		unacked, err1 := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		waiting, err2 := unix.IoctlGetInt(fd, unix.SIOCINQ)
		after, err3 := tcpInfo(fd)
		if err := cmp.Or(err, os.NewSyscallError("SIOCOUTQ", err1), os.NewSyscallError("SIOCINQ", err2), err3); err != nil {
			return position{}, fmt.Errorf("cannot say where the connection stands: %w", err)
		}
		if before.Bytes_acked == after.Bytes_acked && before.Bytes_received == after.Bytes_received {
			return position{
				written: before.Bytes_acked + uint64(unacked),
				read:    before.Bytes_received - uint64(waiting),
			}, nil
		}
		if time.Now().After(end) {
			return position{}, fmt.Errorf("the connection did not stand still for a moment in %v", positionBound)
		}
	}
}

var errClosing = errors.New("the connection is being closed")

// tcpInfo is what the kernel counts of an established connection (tcp(7),
// TCP_INFO). In any other state it counts the ends (FIN) as bytes too.
func tcpInfo(fd int) (unix.TCPInfo, error) {
	const established = 1 // TCP_ESTABLISHED of netinet/tcp.h
	var info unix.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	switch {
	case e != 0:
		return info, os.NewSyscallError("TCP_INFO", e)
	case uintptr(size) < unsafe.Offsetof(info.Bytes_received)+unsafe.Sizeof(info.Bytes_received):
		return info, fmt.Errorf("the kernel does not tell (TCP_INFO has %d bytes): Linux 4.2 or later is needed", size)
	case info.State != established:
		return info, fmt.Errorf("%w (TCP state %d)", errClosing, info.State)
	}
	return info, nil
}
