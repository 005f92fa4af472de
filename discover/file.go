package discover

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// maxFile bounds a file of names: maxTargets of the longest names, and as many bytes of
// comments.
const maxFile = 1 << 19

// readFile reads a file with one node name in each line. Empty lines and comments, which
// begin with #, are ignored. It reads the whole file each time: the file is small, and
// two changes can have the same size and time.
func readFile(path string) ([]Target, error) {
	// Without O_NONBLOCK, opening a FIFO would block until it has a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller adds the path
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	return parseFile(content)
}

func parseFile(content []byte) ([]Target, error) {
	var targets []Target
	n := 0
	for line := range bytes.Lines(content) {
		n++
		name, _, _ := strings.Cut(string(line), "#")
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		t, err := parseNode(name)
		if err != nil {
			return nil, fmt.Errorf("line %d: %.80q %w", n, name, err)
		}
		targets = append(targets, t)
	}
	if len(targets) > maxTargets {
		return nil, tooMany(len(targets))
	}
	return targets, nil
}
