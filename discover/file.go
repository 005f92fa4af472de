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

// maxFile bounds a file of names: maxTargets of the longest names, and as much again of
// comments.
const maxFile = 1 << 19

// readFile reads a file with one name of a node in each line. Empty lines and what
// follows a # do not count. The whole file is read each time: it is small, and times of a
// file tell less than its content.
func readFile(path string) ([]Target, error) {
	// Without O_NONBLOCK to open a FIFO would last until somebody writes.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is said already
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
