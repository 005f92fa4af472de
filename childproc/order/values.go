package order

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// This file reads values that several options have, and those of a worker as a process. Each
// function's error says which value would be right.

func toBool(to *bool, v etf.Term) error {
	switch v {
	case etf.Atom("true"):
		*to = true
	case etf.Atom("false"):
		*to = false
	default:
		return fmt.Errorf("must be true or false")
	}
	return nil
}

// toNot stores the opposite of the value.
func toNot(to *bool, v etf.Term) error {
	var yes bool
	err := toBool(&yes, v)
	*to = !yes
	return err
}

// pathOf reads a path.
func pathOf(v etf.Term) (string, error) {
	s, ok := etf.Text(v)
	if !ok || s == "" || strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("must be a path, as a binary or string")
	}
	return s, nil
}

func toDir(to *string, v etf.Term) error {
	s, err := pathOf(v)
	if err != nil {
		return err
	}
	if !path.IsAbs(s) {
		return fmt.Errorf("must be an absolute path")
	}
	*to = s
	return nil
}

// maxMillis is the longest time: 2^32-1 ms, as in Erlang's timers.
const maxMillis = 1<<32 - 1

func toMillis(to *time.Duration, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > int64(maxMillis) {
		return fmt.Errorf("must be a number of milliseconds up to %d", maxMillis)
	}
	*to = time.Duration(n) * time.Millisecond
	return nil
}

// toTimeout takes milliseconds from 1, or infinity, which is stored as 0.
func toTimeout(to *time.Duration, v etf.Term) error {
	if v == etf.Atom("infinity") {
		*to = 0
		return nil
	}
	if n, ok := v.(int64); ok && n >= 1 && n <= int64(maxMillis) {
		*to = time.Duration(n) * time.Millisecond
		return nil
	}
	return fmt.Errorf("must be infinity or a number of milliseconds from 1 to %d", maxMillis)
}

// pairsOf reads a map or a list of pairs, with keys of any type.
func pairsOf(v etf.Term) ([]etf.Pair, bool) {
	list, ok := v.(etf.List)
	if !ok {
		m, ok := v.(etf.Map)
		return m, ok
	}
	pairs := make([]etf.Pair, 0, len(list))
	for _, t := range list {
		tu, ok := t.(etf.Tuple)
		if !ok || len(tu) != 2 {
			return nil, false
		}
		pairs = append(pairs, etf.Pair{Key: tu[0], Value: tu[1]})
	}
	return pairs, true
}

func (r *reading) owner(v etf.Term) error {
	if v == etf.Atom("none") {
		r.p.Owner = etf.Pid{}
		return nil
	}
	pid, ok := v.(etf.Pid)
	if !ok {
		return fmt.Errorf("must be a pid or none")
	}
	if err := r.Reachable(pid); err != nil {
		return err
	}
	r.p.Owner = pid
	return nil
}

// toName takes the name under which a worker is registered on the child's node.
func toName(to *etf.Atom, v etf.Term) error {
	name, ok := v.(etf.Atom)
	if !ok || name == "undefined" || gen.IsName(name) {
		return fmt.Errorf("must be an atom that is not undefined, %s, %s or %s", gen.Manager, gen.Main, gen.NetKernel)
	}
	*to = name
	return nil
}

// maxID is the longest id, in bytes. As an atom it has characters of one byte.
const maxID = 255

// toID takes the id of a program.
func toID(to *string, v etf.Term) error {
	id, ok := nameOf(v)
	if !ok || id == "" || len(id) > maxID || !utf8.ValidString(id) || v == etf.Atom("undefined") {
		return fmt.Errorf("must be text of 1 to %d bytes, or an atom that is not undefined", maxID)
	}
	*to = id
	return nil
}

func toTree(to *workers.Tree, v etf.Term) error {
	switch v {
	case etf.Atom("kill"):
		*to = workers.TreeKill
	case etf.Atom("wait"):
		*to = workers.TreeWait
	case etf.Atom("leave"):
		*to = workers.TreeLeave
	default:
		return fmt.Errorf("must be kill, wait or leave")
	}
	return nil
}

func toProxy(to **Proxy, v etf.Term) error {
	if t, ok := v.(etf.Tuple); ok && len(t) == 3 {
		module, ok1 := t[0].(etf.Atom)
		function, ok2 := t[1].(etf.Atom)
		args, ok3 := etf.Elements(t[2])
		if ok1 && ok2 && ok3 {
			*to = &Proxy{Module: module, Function: function, Args: gen.Encode(args)}
			return nil
		}
	}
	return fmt.Errorf("must be {Module, Function, Args}")
}

// Events are the names that a watch request can have.
var Events = []etf.Atom{"created", "modified", "closed", "attrib", "renamed", "deleted"}

// toEvents takes a list of events to report.
func toEvents(to *[]etf.Atom, v etf.Term) error {
	list, _ := v.(etf.List)
	var wanted []etf.Atom
	for _, t := range list {
		name, _ := t.(etf.Atom)
		if !slices.Contains(Events, name) {
			wanted = nil
			break
		}
		wanted = append(wanted, name)
	}
	if len(wanted) == 0 {
		return errors.New("must be a list of created, modified, closed, attrib, renamed and deleted")
	}
	*to = wanted
	return nil
}
