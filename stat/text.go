package stat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"erluv/label"
)

// JSON returns an object, in the order of the items. Bytes that are not UTF-8 become U+FFFD.
func JSON(items []Item) []byte { return object(nil, items) }

func object(b []byte, items []Item) []byte {
	b = append(b, '{')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quoted(b, item.Key), ':')
		b = value(b, item.Value)
	}
	return append(b, '}')
}

// JSONValue returns the value of an item.
func JSONValue(v any) []byte { return value(nil, v) }

func value(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case Word:
		return quoted(b, string(v))
	case string:
		return quoted(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	case bool:
		return strconv.AppendBool(b, v)
	case label.Labels:
		return quoted(b, v.String())
	case Process:
		return quoted(b, v.String())
	case Tuple:
		return object(b, []Item{{string(v.Word), v.N}})
	case Signalled:
		return object(b, v.items())
	case []Item:
		return object(b, v)
	case []string:
		return list(b, len(v), func(b []byte, i int) []byte { return quoted(b, v[i]) })
	case []any:
		return list(b, len(v), func(b []byte, i int) []byte { return value(b, v[i]) })
	case Numbered:
		b = append(b, '{')
		for i, n := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(quoted(b, strconv.FormatInt(n.No, 10)), ':')
			b = object(b, n.Items)
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("stat: a value of type %T", v)) // a defect of Items
}

func list(b []byte, n int, element func([]byte, int) []byte) []byte {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = element(b, i)
	}
	return append(b, ']')
}

func quoted(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string cannot fail
	return append(b, q...)
}

// Text returns a line for each item, with keys and values in two columns. The contents of a map are
// indented beneath its key. Control characters are escaped, so that a program's command cannot
// affect a terminal.
func Text(items []Item) string {
	var b bytes.Buffer
	lines(&b, items, "")
	return b.String()
}

func lines(b *bytes.Buffer, items []Item, indent string) {
	wide := 0
	for _, i := range items {
		wide = max(wide, utf8.RuneCountInString(i.Key))
	}
	for _, i := range items {
		switch v := i.Value.(type) {
		case []Item:
			fmt.Fprintf(b, "%s%s\n", indent, i.Key)
			lines(b, v, indent+"  ")
		case Numbered:
			fmt.Fprintf(b, "%s%s\n", indent, i.Key)
			for _, n := range v {
				lines(b, []Item{{strconv.FormatInt(n.No, 10), n.Items}}, indent+"  ")
			}
		case []any:
			fmt.Fprintf(b, "%s%s\n", indent, i.Key)
			for n, e := range v {
				lines(b, []Item{{strconv.Itoa(n + 1), e}}, indent+"  ")
			}
		default:
			fmt.Fprintf(b, "%s%-*s  %s\n", indent, wide, i.Key, plain(v))
		}
	}
}

func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return Printable(v)
	case []string:
		shown := make([]string, len(v))
		for i, s := range v {
			shown[i] = Printable(s)
		}
		return strings.Join(shown, " ")
	case Tuple:
		return fmt.Sprintf("%s %d", v.Word, v.N)
	case Signalled:
		return strings.TrimSpace(fmt.Sprintf("signal %v %s", v.Signal, v.How))
	}
	return Printable(fmt.Sprint(v))
}

// Printable returns text that is safe for a terminal. Characters that are not printable are escaped
// as in Go, and so is a backslash.
func Printable(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// SafeJSON returns the same JSON in a form that is safe for a terminal. encoding/json escapes only the
// first 32 control characters. But U+009B, for example, begins a control sequence too.
func SafeJSON(text []byte) []byte {
	safe := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n' || strconv.IsPrint(r):
			safe = append(safe, text[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		default:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
		text = text[n:]
	}
	return safe
}

// numbered matches a worker's number: 17.0, <0.17.0> or #PID<0.17.0>.
var numbered = regexp.MustCompile(`^(?:(?:#PID)?<[0-9]+\.)?([0-9]+\.[0-9]+)>?$`)

// WorkerNumber returns the number of the worker that a word means, or "" if it means none.
func WorkerNumber(word string) string {
	if m := numbered.FindStringSubmatch(word); m != nil {
		return m[1]
	}
	return ""
}

// IsNumber reports whether commands take a word for an os_pid or for the number of a worker. A
// program can have such a name, but is not called by it.
func IsNumber(word string) bool {
	_, err := strconv.Atoi(word)
	return err == nil || WorkerNumber(word) != ""
}
