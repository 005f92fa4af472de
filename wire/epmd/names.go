package epmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Registered is one line of EPMD's list of names.
type Registered struct {
	Name string // the part of the node's name before the @
	Port uint16
}

// Names asks the EPMD at addr, a host:port, for every node that it knows, in EPMD's order.
func Names(ctx context.Context, addr string) ([]Registered, error) {
	var names []Registered
	err := ask(ctx, addr, []byte{namesReq}, func(r io.Reader) (err error) {
		names, err = readNames(r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the nodes: %w", err)
	}
	return names, nil
}

// readNames reads a NAMES_RESP: EPMD's own port:32, then one line "name NAME at
// port PORT\n" for each node until it closes the connection.
func readNames(r io.Reader) ([]Registered, error) {
	var port [4]byte
	if _, err := io.ReadFull(r, port[:]); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxNames+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxNames {
		return nil, fmt.Errorf("a list of names longer than %d bytes", maxNames)
	}
	var names []Registered
	for line := range strings.Lines(string(text)) {
		reg, err := parseName(line)
		if err != nil {
			return nil, err
		}
		names = append(names, reg)
	}
	return names, nil
}

// parseName parses one line. A name may contain spaces, so the port is found from the end.
func parseName(line string) (Registered, error) {
	whole, ended := strings.CutSuffix(line, "\n")
	if !ended {
		return Registered{}, errors.New("a list of names that breaks off within a line")
	}
	rest, isName := strings.CutPrefix(whole, "name ")
	i := strings.LastIndex(rest, " at port ")
	if !isName || i < 1 || i > maxName {
		return Registered{}, fmt.Errorf("%.80q where a name and its port should be", whole)
	}
	digits := rest[i+len(" at port "):]
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 {
		return Registered{}, fmt.Errorf("%.80q where a name and its port should be", whole)
	}
	return Registered{Name: rest[:i], Port: uint16(port)}, nil
}
