package dist

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderSize is the size of the length before every frame, in bytes.
const HeaderSize = 4

// ErrTooLong says that a frame is longer than its reader accepts.
var ErrTooLong = errors.New("frame too long")

// FrameLen returns how many bytes follow the length at the start of buf, without the length itself.
// Zero is a tick. It returns false while the length is incomplete. A reader that skips a frame that
// is too long counts its bytes by this.
func FrameLen(buf []byte) (n int, ok bool) {
	if len(buf) < HeaderSize {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(buf)), true
}

// Next takes the first frame from buf. It returns the frame without its length, which aliases buf,
// and the number of bytes to skip in buf. A tick is an empty frame that is not nil. If n is 0 and
// err is nil, the frame is incomplete. Next returns ErrTooLong for a frame of more than limit bytes
// as soon as its length is there.
func Next(buf []byte, limit int) (frame []byte, n int, err error) {
	size, ok := FrameLen(buf)
	if !ok {
		return nil, 0, nil
	}
	if size > limit {
		return nil, 0, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLong, size, limit)
	}
	end := HeaderSize + size
	if len(buf) < end {
		return nil, 0, nil
	}
	return buf[HeaderSize:end:end], end, nil
}

// Whole walks over b, which begins with a frame, and returns how many of its bytes are whole
// frames. Bytes that are neither a tick nor the beginning of a frame of either side are an error.
func Whole(b []byte) (n int, err error) {
	for {
		size, ok := FrameLen(b[n:])
		if !ok {
			return n, nil
		}
		rest := b[n+HeaderSize:]
		if size > 0 && len(rest) > 0 && rest[0] != passThrough {
			return n, fmt.Errorf("the frame of %d bytes at %d begins with %d instead of %d", size, n, rest[0], passThrough)
		}
		if len(rest) < size {
			return n, nil
		}
		n += HeaderSize + size
	}
}
