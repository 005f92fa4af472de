package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// rank orders the sources, the strongest first.
type rank int

const (
	fromFile rank = iota
	fromEnv
	fromArgs
	fromDefault
)

// A candidate is a value of one source for a key.
type candidate struct {
	key    *Key
	rank   rank
	source string // "/etc/erluv.conf:3", "ERLUV_NODE", "--node", "default"
	value  string
}

// A Setting is one line of `erluv config`.
type Setting struct {
	Name    string
	Value   string // masked if it is secret
	Source  string
	Shadows []string // sources with other values, and these values

	used candidate
}

// slotOf returns the keys that exclude each other, including the key itself.
func slotOf(key *Key) (slot []*Key) {
	for i := range keys {
		if &keys[i] == key || key.slot != "" && keys[i].slot == key.slot {
			slot = append(slot, &keys[i])
		}
	}
	return slot
}

// settle takes the strongest value of all keys of a slot, checks every value, and warns of each one
// that loses.
func (l *loader) settle(c *Config, slot []*Key, found []candidate) {
	var all []candidate
	for _, f := range found {
		if slices.Contains(slot, f.key) {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })
	for i, a := range all {
		l.check(a)
		switch {
		case i == 0:
		case a.rank == all[0].rank:
			l.problem("%s: %s and %s exclude each other: leave one out", a.source, all[0].key.Name, a.key.Name)
		default:
			l.warn("%s; %s", all[0].wins(), a.loses(all[0].key))
		}
	}
	for _, key := range slot {
		l.store(c, key, all)
	}
}

// store stores the winner of a slot, or else the default.
func (l *loader) store(c *Config, key *Key, all []candidate) {
	s := Setting{Name: key.Name}
	switch {
	case len(all) == 0:
		s.used = l.fallback(key)
		s.Value = key.Unset
		if s.used.value != "" {
			s.Value = s.used.shown()
		}
	case all[0].key == key:
		s.used = all[0]
		s.Value = s.used.shown()
		for _, a := range all[1:] {
			s.Shadows = append(s.Shadows, a.shadow(key))
		}
	default: // the other key of the slot wins
		s.used = candidate{key: key, rank: fromDefault, source: "default"}
		s.Value = "-"
	}
	s.Source = s.used.source
	if s.used.value != "" {
		// An error here has been reported. The exception is a default that this machine cannot
		// resolve, which Check reports when the value is needed.
		_ = key.set(c, s.used.value)
	}
	if key.Secret {
		s.used.value = "" // a printed Config shows no secret
	}
	c.settings = append(c.settings, s)
}

// fallback returns the default. ERL_EPMD_PORT is one too, since all of Erlang uses it. The default
// cookie file is where a node that starts here would find it.
func (l *loader) fallback(key *Key) candidate {
	if key.Name == "cookie_file" {
		return candidate{key, fromDefault, "default", l.nodeCookie(filepath.Base(key.Default))}
	}
	if port, ok := l.env[epmdEnv]; ok && key.Name == "epmd_port" {
		d := candidate{key, fromDefault, epmdEnv, port}
		l.check(d)
		return d
	}
	return candidate{key, fromDefault, "default", key.Default}
}

// check reports the problem of a value, if it has one.
func (l *loader) check(a candidate) {
	scratch := Config{machine: l.Machine}
	err := a.key.set(&scratch, a.value)
	if err == nil && strings.ContainsRune(a.value, 0) {
		err = errUnknown
	}
	if err != nil {
		l.problems = append(l.problems, a.problem(err))
	}
}

// problem says where a value comes from, that it is wrong, and which values are right.
func (a candidate) problem(err error) string {
	value := ""
	switch {
	case a.key.Secret || a.value == "" || a.key.kind == tables:
	case a.key.kind == list:
		value = " " + a.shown()
	default:
		value = " " + strconv.Quote(a.value)
	}
	switch a.rank {
	case fromFile:
		return fmt.Sprintf("%s: %s%s %v: it takes %s: %s = %s",
			a.source, a.key.Name, value, err, a.key.Right, a.key.Name, a.key.Example)
	case fromDefault:
		if a.source == "default" {
			return fmt.Sprintf("%s%s %v: it takes %s", a.key.Name, value, err, a.key.Right)
		}
	}
	return fmt.Sprintf("%s%s %v: it takes %s", a.source, value, err, a.key.Right)
}

func (a candidate) wins() string {
	if a.key.Secret {
		return fmt.Sprintf("%s is taken from %s", a.key.Name, a.source)
	}
	return fmt.Sprintf("%s is %s from %s", a.key.Name, a.shown(), a.source)
}

// loses says what is ignored because of the key that has won.
func (a candidate) loses(winner *Key) string {
	var what string
	switch {
	case a.key != winner && a.key.Secret:
		what = a.key.Name
	case a.key != winner:
		what = a.key.Name + " " + a.shown()
	case a.key.Secret:
		what = "the one"
	default:
		what = a.shown()
	}
	return fmt.Sprintf("%s from %s is ignored", what, a.source)
}

// shadow is the text of the last column of `erluv config`.
func (a candidate) shadow(winner *Key) string {
	source := a.source
	if a.key != winner {
		source = a.key.Name + " " + source
	}
	if a.key.Secret {
		return source
	}
	return fmt.Sprintf("%s (%s)", source, a.shown())
}

// shown returns the value in a form that may be shown.
func (a candidate) shown() string {
	switch {
	case a.key.Secret:
		return mask
	case a.key.kind == tables:
		return classNames(a.value)
	case a.key.kind == list:
		return "[" + strings.ReplaceAll(a.value, " ", ", ") + "]"
	}
	return a.value
}
