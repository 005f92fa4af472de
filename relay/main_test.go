package relay

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// The test binary also plays the child of TestKilled.
func TestMain(m *testing.M) {
	if begin := os.Getenv("TEST_CHILD"); begin != "" {
		playChild(begin)
	}
	goleak.VerifyTestMain(m)
}

// playChild writes the pattern to descriptor 3, from position begin on, and reads, until it is
// killed.
func playChild(begin string) {
	at, err := strconv.ParseUint(begin, 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stream := os.NewFile(3, "near")
	go func() {
		for b := make([]byte, 77_777); ; {
			if _, err := stream.Read(b); err != nil {
				return
			}
		}
	}()
	for b := make([]byte, 99_999); ; {
		pattern(b, at)
		n, err := stream.Write(b)
		if err != nil {
			os.Exit(0)
		}
		at += uint64(n)
	}
}

// pattern fills b with the bytes of a stream from position at on. Neighbouring bytes differ, and so
// do all pieces.
func pattern(b []byte, at uint64) {
	for i := range b {
		word := (at + uint64(i)) / 8 * 0x9E3779B97F4A7C15
		b[i] = byte(word >> (8 * ((at + uint64(i)) % 8)))
	}
}
