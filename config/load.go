package config

import (
	"fmt"
	"slices"
	"strings"
)

// Sources are the sources of values other than the file.
type Sources struct {
	// Args are the values of the command line by Key.Name. The value of --config has the key
	// FileKey.
	Args map[string]string
	// Environ is the environment as NAME=value. The last value of a name counts.
	Environ []string
	Machine Machine
	// Entry is a node that the command line names as its argument, or "" for commands without one.
	// It is dialled, and settings about nodes to serve have no effect.
	Entry string
}

// FileKey stands for the choice of the file, which is not a key in it.
const FileKey = "config"

const (
	fileEnv     = "ERLUV_CONF"
	defaultFile = "~/.erluv.conf"
	noFile      = "none"
	epmdEnv     = "ERL_EPMD_PORT"
)

// An Error has all problems of the configuration, one line each. cmd/erluv then ends with status 2.
type Error struct{ Problems []string }

func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// A Warning is about a setting that has no effect.
type Warning string

// Load reads all sources and returns their combined settings. It checks shadowed values too, and
// warns of them. It does not check the node and the cookie, which only a connection needs.
// [Config.Check] does that.
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

// file returns the file to read, as none or an absolute path, and the source of that choice.
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

// entries reads the file. Only the default file may be missing.
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

// given returns the values of the environment and the command line.
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

// normal turns a value of the environment or the command line into the form of fromTOML. There a
// list has commas.
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

// misspelt warns of variables that nearly have one of our names. Others with our prefix may belong
// to another program.
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
