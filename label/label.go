// Package label is the grammar of a host's labels:
//
//	core;group=g1;master, meta2;a=1
//
// Commas separate entries. Semicolons separate an entry's name from its keys, which may have
// values. A host announces labels, and a control node chooses hosts by them.
//
// The package is pure: config uses it to check the key meta, childproc to answer requests, and stat
// to show the result.
package label

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxText is the maximum length of labels as text, in bytes. Each info contains them, and the
	// child sends them to main in one packet after each change.
	MaxText = 8 << 10

	// MaxEntries is the maximum number of entries.
	MaxEntries = 128

	// MaxKeys is the maximum number of keys of one entry.
	MaxKeys = 64
)

// ErrInvalid is returned for text that the grammar does not accept.
var ErrInvalid = errors.New("is not a list of labels")

// ErrTooMany is returned for text that exceeds MaxText, MaxEntries or MaxKeys.
var ErrTooMany = errors.New("has more than 128 labels, more than 64 keys in one, or more than 8192 bytes")

// Labels are entries with distinct names, in the order in which they were given.
type Labels []Entry

// Entry is a name and its keys.
type Entry struct {
	Name string
	Keys []Key
}

// Key is a key, with a value if HasValue is set.
type Key struct {
	Name, Value string
	HasValue    bool
}

// Parse reads labels. If two entries have one name, the second replaces the first in its place.
// Blanks around names, keys and values are ignored. Empty text has no labels. The error is
// ErrInvalid or ErrTooMany.
func Parse(text string) (Labels, error) {
	if len(text) > MaxText {
		return nil, ErrTooMany
	}
	if !utf8.ValidString(text) {
		return nil, ErrInvalid
	}
	var l Labels
	if strings.TrimSpace(text) == "" {
		return l, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		e, err := parseEntry(part)
		if err != nil {
			return nil, err
		}
		if l = l.with(e); len(l) > MaxEntries {
			return nil, ErrTooMany
		}
	}
	return l, l.bounded()
}

func parseEntry(text string) (e Entry, err error) {
	for i, part := range strings.Split(text, ";") {
		name, value, has := strings.Cut(part, "=")
		k := Key{strings.TrimSpace(name), strings.TrimSpace(value), has}
		switch {
		case !legal(k.Name), has && !legal(k.Value), i == 0 && has:
			return e, ErrInvalid
		case i == 0:
			e.Name = k.Name
		case i > MaxKeys:
			return e, ErrTooMany
		default:
			e.Keys = append(e.Keys, k)
		}
	}
	return e, nil
}

// legal reports whether a word can be a name, key or value. Such a word is not empty and has no
// control characters, quotes, backslashes or separators.
func legal(word string) bool {
	return word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return r < ' ' || r == 0x7f || strings.ContainsRune(`,;="'\`, r)
	})
}

// with returns a copy of the labels with e, which replaces the entry of its name or becomes the
// last.
func (l Labels) with(e Entry) Labels {
	l = slices.Clone(l)
	if i := l.index(e.Name); i >= 0 {
		l[i] = e
		return l
	}
	return append(l, e)
}

func (l Labels) index(name string) int {
	return slices.IndexFunc(l, func(e Entry) bool { return e.Name == name })
}

// Update returns the labels with the entries of the text. Each replaces the entry of its name, or
// is added at the end. On an error, ErrInvalid or ErrTooMany, it returns the labels unchanged.
func (l Labels) Update(text string) (Labels, error) {
	more, err := Parse(text)
	if err != nil {
		return l, err
	}
	updated := l
	for _, e := range more {
		updated = updated.with(e)
	}
	if err := updated.bounded(); err != nil {
		return l, err
	}
	return updated, nil
}

// Remove returns the labels without the entry of that name.
func (l Labels) Remove(name string) Labels {
	return slices.DeleteFunc(slices.Clone(l), func(e Entry) bool { return e.Name == name })
}

func (l Labels) bounded() error {
	if len(l) > MaxEntries || len(l.String()) > MaxText {
		return ErrTooMany
	}
	return nil
}

// String returns the labels as text that Parse accepts.
func (l Labels) String() string {
	var b strings.Builder
	for i, e := range l {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(e.Name)
		for _, k := range e.Keys {
			b.WriteString(";" + k.Name)
			if k.HasValue {
				b.WriteString("=" + k.Value)
			}
		}
	}
	return b.String()
}
