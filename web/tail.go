package web

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"erluv/overview"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

const (
	// tailLines is how many of a program's last lines a page shows.
	tailLines = 200

	// lineBytes bounds the part of a line that is shown, in bytes.
	lineBytes = 1000

	// maxTails is how many programs' output is followed at a time.
	maxTails = maxViewers
)

// tail is the last output of a program, followed while a page shows it.
type tail struct {
	until time.Time // when the last requested page counts as closed
	lines []Line    // the newest last; tailLines at most
	count int       // all lines so far
	open  [2]Line   // for each stream, text without an end of line yet
	next  int64     // the position at which erluv goes on; 0: nothing was read
	read  bool
	why   string // why there is no output; "": there is
}

// Line is a line of output.
type Line struct {
	Class string // stdout, stderr or lost
	Text  string
}

// watch follows the output of a program for a while, and returns its tail. It returns nil if too
// many programs are followed. It is called with the board locked.
func (b *board) watch(w etf.Pid) *tail {
	t := b.tails[w]
	if t == nil {
		if len(b.tails) >= maxTails {
			return nil
		}
		t = &tail{open: [2]Line{{Class: "stdout"}, {Class: "stderr"}}}
		b.tails[w] = t
	}
	t.until = time.Now().Add(wanted)
	return t
}

// follow requests the output that pages show. It is called with the board locked, and unlocks it
// while it waits for erluv's answer.
func (b *board) follow(ctx context.Context, call overview.Call) error {
	now := time.Now()
	var list []etf.Pid
	for w, t := range b.tails {
		if now.After(t.until) {
			delete(b.tails, w)
		} else if t.why == "" {
			list = append(list, w)
		}
	}
	for _, w := range list {
		t := b.tails[w]
		answer, err := call(ctx, gen.Manager, etf.Tuple{etf.Atom("log"), w, t.query()})
		var no refused
		switch {
		case errors.As(err, &no):
			t.refuse(no.reason)
		case err != nil:
			return err
		case !t.take(answer):
			return errors.New("erluv answers with something else than output")
		}
	}
	return nil
}

// query returns the options of the next request.
func (t *tail) query() etf.Map {
	q := etf.Map{{Key: etf.Atom("lines"), Value: int64(tailLines)}}
	if t.read {
		q = append(q, etf.Pair{Key: etf.Atom("from"), Value: t.next})
	}
	return q
}

// refuse notes why there is no output.
func (t *tail) refuse(reason etf.Term) {
	switch reason {
	case etf.Atom("not_kept"):
		t.why = "The output of this program is not kept: it was started without the option keep."
	case etf.Atom("lost"), etf.Atom("noproc"):
		if !t.read {
			t.why = "The output of this program is lost."
		}
	default:
		t.why = fmt.Sprintf("erluv does not say what the program has written: %v.", reason)
	}
}

// take stores an answer. It returns false if the term is no answer.
func (t *tail) take(answer etf.Term) bool {
	ok, _ := answer.(etf.Tuple)
	if len(ok) != 2 {
		return false
	}
	m, _ := ok[1].(etf.Map)
	next, isNext := field(m, "next").(int64)
	lost, _ := field(m, "lost").(int64)
	output, isList := field(m, "output").(etf.List)
	if !isNext || !isList {
		return false
	}
	if t.read && lost > 0 {
		t.add(Line{Class: "lost", Text: fmt.Sprintf("%d bytes are missing here: they came faster than they were shown", lost)})
	}
	t.next, t.read = next, true
	for _, e := range output {
		p, _ := e.(etf.Tuple)
		if len(p) != 3 {
			return false
		}
		stream, _ := p[1].(etf.Atom)
		data, isData := p[2].(etf.Binary)
		if !isData {
			return false
		}
		t.put(bit(stream == "stderr"), data)
	}
	return true
}

func field(m etf.Map, key etf.Atom) etf.Term {
	for _, p := range m {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// put adds output of a stream.
func (t *tail) put(stream int, data []byte) {
	open := &t.open[stream]
	for len(data) > 0 {
		line, rest, ended := strings.Cut(string(data), "\n")
		if room := lineBytes + utf8.UTFMax - len(open.Text); len(line) > room { // the beginning is shown
			line = line[:max(room, 0)]
		}
		open.Text += line
		if !ended {
			return
		}
		t.add(*open)
		open.Text, data = "", []byte(rest)
	}
}

func (t *tail) add(l Line) {
	l.Text = plain(l.Text)
	t.count++
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, l)
}

// unended returns the lines that have no end yet.
func (t *tail) unended() (list []Line) {
	for _, l := range t.open {
		if l.Text = plain(l.Text); l.Text != "" {
			list = append(list, l)
		}
	}
	return list
}

// plain turns a line of output into text for a page. It removes terminal sequences for colours and
// the like. It escapes other characters that are not printable, as Go does.
func plain(s string) string {
	cut := ""
	if len(s) > lineBytes {
		s, cut = s[:lineBytes], " …"
		for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) && len(s) > lineBytes-utf8.UTFMax {
			s = s[:len(s)-1]
		}
	}
	var b strings.Builder
	s = strings.TrimSuffix(s, "\r")
	for len(s) > 0 {
		if rest, ok := strings.CutPrefix(s, "\x1b["); ok {
			i := strings.IndexFunc(rest, func(r rune) bool { return r < 0x20 || r > 0x3f })
			if i >= 0 && rest[i] >= 0x40 && rest[i] <= 0x7e {
				s = rest[i+1:]
				continue
			}
		}
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\t', strconv.IsPrint(r):
			b.WriteString(s[:n])
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String() + cut
}
