package link

import (
	"errors"
	"fmt"

	"erluv/ipc/journal"
	"erluv/wire/dist"
)

// stand is the remaining work on a connection whose child has died.
type stand struct {
	// Out must be written first: the rest of the frame that the child was writing, if any, then
	// whole frames.
	Out []byte
	// In was read from the connection and not handled: whole frames, then perhaps the beginning of
	// one.
	In []byte
	// Skip is how many of the next bytes to drop before the first frame. If it is not 0, In is
	// empty.
	Skip int
}

// standing returns the state in which the child has left the connection, by the journal. The child
// got the connection at base. It must have been reaped: then all its threads are gone, and no
// process reads or writes. The journal is treated as hostile. After an error the connection can
// only be closed.
func standing(t transport, base position, j *journal.Journal) (stand, error) {
	now, err := t.position()
	if err != nil {
		return stand{}, err
	}
	if now.written < base.written || now.read < base.read {
		return stand{}, fmt.Errorf("the connection stands at %v, which is before %v, where the child was given it", now, base)
	}
	return recall(j, now.written-base.written, now.read-base.read)
}

var errJournal = errors.New("the journal of the child contradicts the connection")

// recall reads the remaining work from the journal. written and read are the bytes of the
// connection since the child got it.
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

// recallOut returns the part of the frames at OutPos that was not written.
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

// recallIn returns the bytes from InPos on; read tells how many there are.
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
