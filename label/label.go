// Package label is the grammar of the labels of a host:
//
//	core;group=g1;master, meta2;a=1
//
// Entries stand between commas. Each has a name, then keys and pairs of key and value between
// semicolons. A host claims labels, and a control node chooses hosts by them.
//
// The package is pure: config checks the key meta with it, childproc answers requests with it,
// and stat renders the result.
package label

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxText bounds labels as text, in bytes: they are part of each info, and travel to main
	// in one packet with each change.
	MaxText = 8 << 10

	// MaxEntries and MaxKeys bound the entries, and the keys of each.
	MaxEntries = 128
	MaxKeys    = 64
)

// ErrInvalid is the error of text that the grammar does not know.
var ErrInvalid = errors.New("is no list of labels")

// ErrTooMany is the error of more than the bounds allow.
var ErrTooMany = errors.New("has more labels than 128, more keys in one than 64, or more than 8192 bytes")

// Labels are entries, each of another name, in the order in which they were given.
type Labels []Entry

// Entry is one name with its keys.
type Entry struct {
	Name string
	Keys []Key
}

// Key is a key alone, or with a value.
type Key struct {
	Name, Value string
	HasValue    bool
}

// Parse reads labels. Of two entries with one name the second is used, in the place of the
// first. Blanks around names, keys and values do not count. Empty text is no labels.
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

// legal says whether a word can be a name, a key or a value: no control characters, no quotes,
// and none of the characters that divide.
func legal(word string) bool {
	return word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return r < ' ' || r == 0x7f || strings.ContainsRune(`,;="'\`, r)
	})
}

// with is the labels with an entry, in the place of one with its name or at the end. The labels
// themselves stay as they are.
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

// Update is the labels with those of the text: an entry replaces one of its name, others are
// added at the end.
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

// Remove is the labels without the entry of a name.
func (l Labels) Remove(name string) Labels {
	return slices.DeleteFunc(slices.Clone(l), func(e Entry) bool { return e.Name == name })
}

func (l Labels) bounded() error {
	if len(l) > MaxEntries || len(l.String()) > MaxText {
		return ErrTooMany
	}
	return nil
}

// String is the labels as Parse reads them.
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
