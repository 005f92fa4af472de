package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds the configuration file, in bytes. A full one has 2 kB.
const maxFile = 64 << 10

// An entry is one key of the file: its value as text, and its line.
type entry struct {
	key  *Key
	text string
	line int
}

// readFile opens, checks and reads the configuration file at an absolute path. Its only error is
// fs.ErrNotExist, if there is no file. Everything else that is wrong becomes one or several
// problems, each with the file in front.
func readFile(path string, uid int) ([]entry, []string, error) {
	f, err := openTrusted(path, uid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if stranger := (strangerError{}); errors.As(err, &stranger) {
		return nil, []string{fmt.Sprintf("%s: refused: %v%s", path, err, copyOf(uid))}, nil
	}
	if err != nil {
		return nil, []string{fmt.Sprintf("%s: refused: %v", path, unwrapPath(err))}, nil
	}
	defer f.Close()
	owner, mode, err := attributes(f)
	if err != nil {
		return nil, []string{fmt.Sprintf("%s: %v", path, err)}, nil
	}
	switch {
	case owner != 0 && owner != uid:
		return nil, []string{fmt.Sprintf("%s: refused: it belongs to %s and not to %s%s",
			path, userName(owner), userNames([]int{uid, 0}), copyOf(uid))}, nil
	case mode&0o022 != 0:
		return nil, []string{fmt.Sprintf("%s: refused: others can write it (mode %04o): chmod go-w %s",
			path, mode, path)}, nil
	}
	content, err := readBounded(f, maxFile)
	if err != nil {
		return nil, []string{fmt.Sprintf("%s: %v", path, unwrapPath(err))}, nil
	}
	entries, secret, problems := parseFile(path, string(content))
	if secret && mode&0o077 != 0 {
		problems = append([]string{fmt.Sprintf("%s: refused: it holds a cookie and others can read it (mode %04o): chmod 600 %s",
			path, mode, path)}, problems...)
	}
	return entries, problems, nil
}

// copyOf returns the remedy for a file of another user.
func copyOf(uid int) string {
	return fmt.Sprintf(": copy it to a file of %s's, which --%s names", userName(uid), FileKey)
}

// parseFile parses TOML. It reports whether the text has a secret, even if there are errors. The
// problems never repeat a secret.
func parseFile(path, content string) (entries []entry, secret bool, problems []string) {
	var values map[string]toml.Primitive
	md, err := toml.Decode(content, &values)
	if err != nil {
		var syntax toml.ParseError
		if !errors.As(err, &syntax) {
			return nil, mentionsSecret(content), []string{path + ": is no TOML"}
		}
		return nil, mentionsSecret(content), []string{fmt.Sprintf("%s:%d: %s",
			path, syntax.Position.Line, syntaxMessage(syntax, content))}
	}
	seen := make(map[string]bool)
	for _, name := range md.Keys() {
		if seen[name[0]] {
			continue
		}
		seen[name[0]] = true
		line := lineOf(&md, values[name[0]])
		key := keyNamed(name[0])
		if key == nil {
			problems = append(problems, fmt.Sprintf("%s:%d: unknown key %q: %s", path, line, name[0], suggestKey(name[0])))
			continue
		}
		secret = secret || key.Secret
		text, wrong := key.fromTOML(&md, values[name[0]])
		if wrong != "" {
			problems = append(problems, fmt.Sprintf("%s:%d: %s is %s: it takes %s: %s = %s",
				path, line, key.Name, wrong, key.Right, key.Name, key.Example))
			continue
		}
		entries = append(entries, entry{key, text, line})
	}
	return entries, secret, problems
}

// syntaxMessage returns the parser's message, unless it could repeat a secret. The message quotes
// text that the parser does not understand, which may be all strings of the file.
func syntaxMessage(err toml.ParseError, content string) string {
	if key := nearest(err.LastKey); key != nil && key.Secret || mentionsSecret(content) {
		return "is no TOML: one key = value a line, strings in quotes"
	}
	if key := keyNamed(err.LastKey); key != nil && strings.HasPrefix(err.Message, "expected value") {
		return fmt.Sprintf("%s: %s = %s is how it is written", err.Message, key.Name, key.Example)
	}
	return err.Message
}

// mentionsSecret finds the name of a secret key. No other name contains it.
func mentionsSecret(content string) bool {
	content = strings.ToLower(content)
	for i := range keys {
		content = strings.ReplaceAll(content, keys[i].Name+"_file", "")
	}
	return slices.ContainsFunc(keys, func(k Key) bool { return k.Secret && strings.Contains(content, k.Name) })
}

// fromTOML returns the value in the form of the command line, or the kind of value that the file
// has instead of the right one.
func (k *Key) fromTOML(md *toml.MetaData, p toml.Primitive) (value, wrong string) {
	var v any
	if err := md.PrimitiveDecode(p, &v); err != nil {
		return "", "not readable"
	}
	switch v := v.(type) {
	case string:
		if k.kind == text {
			return v, ""
		}
		return "", "a string"
	case int64:
		if k.kind == number {
			return strconv.FormatInt(v, 10), ""
		}
		return "", "a number"
	case bool:
		if k.kind == truth {
			return strconv.FormatBool(v), ""
		}
		return "", "true or false"
	case []any:
		if k.kind != list {
			return "", "a list"
		}
		names := make([]string, len(v))
		for i, element := range v {
			name, ok := element.(string)
			if !ok || name == "" || strings.Contains(name, " ") {
				return "", "a list of something else"
			}
			names[i] = name
		}
		return strings.Join(names, " "), ""
	case map[string]any:
		if k.kind != tables {
			return "", "a table"
		}
		text, err := json.Marshal(v)
		if err != nil { // a number such as nan
			return "", "not readable"
		}
		return string(text), ""
	case []map[string]any:
		return "", "a table"
	case float64:
		return "", "a number with a point"
	}
	return "", "a date or time"
}

// lineOf returns the line on which a value begins. The decoder reports it only with an error, so
// lineOf causes one. An implied table, such as a in a.b = 1, has the line of its first key.
func lineOf(md *toml.MetaData, p toml.Primitive) int {
	var at toml.ParseError
	if !errors.As(md.PrimitiveDecode(p, new(refuser)), &at) {
		return 0
	}
	if at.Position.Line > 0 {
		return at.Position.Line
	}
	var below map[string]toml.Primitive
	if md.PrimitiveDecode(p, &below) != nil {
		return 0
	}
	first := 0
	for _, p := range below {
		if line := lineOf(md, p); first == 0 || line != 0 && line < first {
			first = line
		}
	}
	return first
}

// A refuser accepts no value.
type refuser struct{}

var errPosition = errors.New("asked for the position")

// UnmarshalTOML fails, so that the decoder reports its position.
func (*refuser) UnmarshalTOML(any) error { return errPosition }
