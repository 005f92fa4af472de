package config

import (
	"fmt"
	"slices"
	"strings"
)

// Sources are the places that values come from, besides the file.
type Sources struct {
	// Args are the values of the command line by Key.Name, and that of --config
	// by FileKey.
	Args map[string]string
	// Environ is the environment as NAME=value; the last of one name counts.
	Environ []string
	Machine Machine
	// Entry is a node that the command line names as its argument; "" with commands that
	// take none. It is dialled, and what is said of nodes to serve has no effect.
	Entry string
}

// FileKey stands for the choice of the file, which is no key in it.
const FileKey = "config"

const (
	fileEnv     = "ERLUV_CONF"
	defaultFile = "~/.erluv.conf"
	noFile      = "none"
	epmdEnv     = "ERL_EPMD_PORT"
)

// An Error is everything that is wrong with the configuration, one line each.
// cmd/erluv ends with status 2 for it.
type Error struct{ Problems []string }

func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// A Warning is something that was said and has no effect.
type Warning string

// Load reads all sources and returns what they say together. A value that is
// shadowed is checked like any other and warned of. What only a connection needs,
// the node and its cookie, is asked for by [Config.Check].
func Load(s Sources) (*Config, []Warning, error) {
	l := loader{Sources: s, env: environment(s.Environ)}
	file, shown := l.file()
	found := l.aboutEntry(append(l.entries(file, &shown), l.given()...))
	c := &Config{machine: s.Machine, settings: []Setting{shown}}
	for i := range keys {
		if slot := slotOf(&keys[i]); slot[0] == &keys[i] {
			l.settle(c, slot, found)
		}
	}
	if len(l.problems) == 0 {
		l.finish(c)
	}
	if len(l.problems) > 0 {
		return nil, l.warnings, &Error{l.problems}
	}
	return c, l.warnings, nil
}

type loader struct {
	Sources
	env      map[string]string
	warnings []Warning
	problems []string
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, variable := range environ {
		if name, value, ok := strings.Cut(variable, "="); ok {
			env[name] = value
		}
	}
	return env
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, Warning(fmt.Sprintf(format, args...)))
}

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// file says which file is read, none or an absolute path, and who says so.
func (l *loader) file() (path string, s Setting) {
	s = Setting{Name: FileKey, Value: defaultFile, Source: "default"}
	arg, inArgs := l.Args[FileKey]
	if inArgs {
		s.Value, s.Source = arg, "--"+FileKey
	}
	if env, ok := l.env[fileEnv]; ok {
		s.Value, s.Source = env, fileEnv
		if inArgs {
			s.Shadows = []string{"--" + FileKey + " (" + arg + ")"}
			l.warn("%s is %s from %s; %s from --%s is ignored", FileKey, env, fileEnv, arg, FileKey)
		}
	}
	if s.Value == noFile || s.Source == "default" && l.Machine.Home == "" {
		s.Value = noFile
		return noFile, s
	}
	path, err := l.Machine.absolute(s.Value)
	if err != nil {
		l.problem("%s %q %v: it takes the path of a file, or none", s.Source, s.Value, err)
		return noFile, s
	}
	return path, s
}

// entries reads the file. Only the default one may be missing.
func (l *loader) entries(path string, s *Setting) (found []candidate) {
	if path == noFile {
		return nil
	}
	entries, problems, err := readFile(path, l.Machine.UID)
	switch {
	case err == nil:
	case s.Source == "default":
		s.Value += " (there is none)"
	default:
		l.problem("%s: there is no such file; --%s %s reads none", path, FileKey, noFile)
	}
	l.problems = append(l.problems, problems...)
	for _, e := range entries {
		found = append(found, candidate{e.key, fromFile, fmt.Sprintf("%s:%d", path, e.line), e.text})
	}
	return found
}

// given returns what environment and command line say.
func (l *loader) given() (found []candidate) {
	for i := range keys {
		key := &keys[i]
		value, ok := l.env[key.Env()]
		value = key.normal(value)
		if ok {
			found = append(found, candidate{key, fromEnv, key.Env(), value})
		}
		arg, inArgs := l.Args[key.Name]
		arg = key.normal(arg)
		if inArgs {
			found = append(found, candidate{key, fromArgs, "--" + key.Flag(), arg})
		}
		if key.FileOnly && (ok || inArgs) {
			l.problem("%s: %s can be set in the configuration file alone: %s = %s there, and --%s names the file",
				found[len(found)-1].source, key.Name, key.Name, key.Example, FileKey)
		}
	}
	l.misspelt()
	return found
}

// normal is a value of the environment or the command line as fromTOML writes it: a list
// has commas there.
func (k *Key) normal(value string) string {
	if k.kind != list || k.FileOnly {
		return value
	}
	parts := strings.Split(value, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return strings.Join(parts, " ")
}

// misspelt warns of variables that are nearly ours. Others that begin alike may
// be somebody's own.
func (l *loader) misspelt() {
	names := make([]string, 0, len(l.env))
	for name := range l.env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		short, ours := strings.CutPrefix(name, envPrefix)
		if !ours || name == fileEnv || keyNamed(strings.ToLower(short)) != nil && short == strings.ToUpper(short) {
			continue
		}
		if key := nearest(short); key != nil {
			l.warn("%s in the environment is ignored: is %s meant?", name, key.Env())
		}
	}
}
