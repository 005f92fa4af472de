package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Class is a table [class.NAME]: a program that this host offers.
type Class struct {
	Name    string
	Command []string      // the program, by an absolute path, and its first arguments
	Args    []string      // patterns: each argument of a caller matches one as a whole
	User    string        // "": the user of the programs
	Cd      string        // "/" unless the file says otherwise
	Env     []string      // NAME=value, sorted
	Limits  Limits        // below those of the host
	Sandbox *ClassSandbox // nil: none
	Max     int           // programs that run at once; 0: as many as there may be workers
	Allowed int           // the index of User: 0 for the user of the programs, else the place in allow_users, from 1
}

// A ClassSandbox has the values of the option sandbox.
type ClassSandbox struct {
	Read, Write, Exec []string
	Net               string
	Connect           []uint16
}

const (
	// maxClasses bounds the classes: one byte identifies each in the child.
	maxClasses = 64

	// maxClassText bounds all of them, in bytes as JSON, because they go to the child in one
	// packet.
	maxClassText = 32 << 10

	// maxClassPaths bounds each list of a sandbox, as the option does.
	maxClassPaths = 64
)

// classTable is a class as the file has it.
type classTable struct {
	Command []string          `json:"command"`
	Args    []string          `json:"args"`
	User    string            `json:"user"`
	Cd      string            `json:"cd"`
	Env     map[string]string `json:"env"`
	Limits  []string          `json:"limits"`
	Sandbox *struct {
		Read    []string `json:"read"`
		Write   []string `json:"write"`
		Exec    []string `json:"exec"`
		Net     string   `json:"net"`
		Connect []uint16 `json:"connect"`
	} `json:"sandbox"`
	Max *int `json:"max"`
}

// classRight has the keys of a class, for messages.
const classRight = "command, args, user, cd, env, limits, sandbox and max"

// parseClasses parses the tables as JSON, in the form of fromTOML.
func parseClasses(v string) (list []Class, err error) {
	if v == "" {
		return nil, errEmpty
	}
	if len(v) > maxClassText {
		return nil, fmt.Errorf("are larger than %d bytes together", maxClassText)
	}
	var tables map[string]json.RawMessage
	if err := json.Unmarshal([]byte(v), &tables); err != nil {
		return nil, errors.New("are no tables [class.NAME]")
	}
	if len(tables) > maxClasses {
		return nil, fmt.Errorf("are more than %d", maxClasses)
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		c, err := parseClass(name, tables[name])
		if err != nil {
			return nil, fmt.Errorf("has a class %s that %w", name, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func parseClass(name string, text []byte) (c Class, err error) {
	if checkName(name) != nil {
		return c, errors.New("is called by other characters than letters, digits, _ and -")
	}
	var t classTable
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return c, fmt.Errorf("is not understood (%s): it takes %s", jsonMessage(err), classRight)
	}
	c = Class{Name: name, Command: t.Command, Args: t.Args, User: t.User, Cd: "/"}
	if t.Cd != "" {
		c.Cd = t.Cd
	}
	for name, value := range t.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return c, errors.New("has an env with an empty name, a = in a name, or a NUL byte")
		}
		c.Env = append(c.Env, name+"="+value)
	}
	slices.Sort(c.Env)
	if t.Max != nil {
		if c.Max = *t.Max; c.Max < 1 || c.Max > 1_000_000 {
			return c, errors.New("has a max that is not from 1 to 1000000")
		}
	}
	if c.Limits, err = parseLimits(strings.Join(t.Limits, " ")); err != nil && len(t.Limits) > 0 {
		return c, fmt.Errorf("has limits with %q in it, which %w", strings.Join(t.Limits, " "), err)
	}
	if s := t.Sandbox; s != nil {
		c.Sandbox = &ClassSandbox{s.Read, s.Write, s.Exec, s.Net, s.Connect}
	}
	return c, c.check()
}

// jsonMessage returns the decoder's error without its words about JSON and Go.
func jsonMessage(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("%s is a %s", wrong.Field, wrong.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// check checks a class of the file.
func (c *Class) check() error {
	switch {
	case len(c.Command) == 0:
		return errors.New("has no command: a list, the program first")
	case !path.IsAbs(c.Command[0]):
		return fmt.Errorf("has the command %q, which is no absolute path", c.Command[0])
	case !path.IsAbs(c.Cd):
		return fmt.Errorf("has cd %q, which is no absolute path", c.Cd)
	case strings.ContainsRune(c.Cd+strings.Join(c.Command, ""), 0):
		return errors.New("has a NUL byte in it")
	case c.User != "" && checkAccount(c.User) != nil:
		return errors.New("has a user that is no name")
	}
	for _, pattern := range c.Args {
		_, err := regexp.Compile(pattern)
		if err == nil {
			_, err = regexp.Compile("^(?:" + pattern + ")$") // as the child does: \Q without \E is then an error
		}
		if err != nil {
			return fmt.Errorf("has args with %q in it, which is no regular expression", pattern)
		}
	}
	if c.Sandbox != nil {
		return c.Sandbox.check()
	}
	return nil
}

func (s *ClassSandbox) check() error {
	for _, list := range [][]string{s.Read, s.Write, s.Exec} {
		if len(list) > maxClassPaths {
			return fmt.Errorf("has a sandbox with more than %d paths in a list", maxClassPaths)
		}
		for _, p := range list {
			if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
				return fmt.Errorf("has a sandbox with %q in it, which is no absolute path", p)
			}
		}
	}
	switch {
	case s.Net != "" && s.Net != "none":
		return errors.New("has a sandbox whose net is not none")
	case s.Net != "" && len(s.Connect) > 0:
		return errors.New("has a sandbox with both net and connect: give one of them")
	case len(s.Connect) > maxClassPaths:
		return fmt.Errorf("has a sandbox with more than %d ports", maxClassPaths)
	case slices.Contains(s.Connect, 0):
		return errors.New("has a sandbox with the port 0")
	}
	return nil
}

// settleClasses finds the users of the classes, and compares their limits with those of the host.
func (c *Config) settleClasses() error {
	for i := range c.Classes {
		class := &c.Classes[i]
		if class.User != "" && class.User != c.RunAs.User {
			at := slices.IndexFunc(c.Allowed, func(a Allowed) bool { return a.User == class.User })
			if at < 0 {
				return fmt.Errorf("has a class %s with the user %s, who is neither user nor in allow_users: add %s to allow_users",
					class.Name, class.User, class.User)
			}
			class.Allowed = at + 1
		}
		if name := class.Limits.above(c.Limits); name != "" {
			return fmt.Errorf("has a class %s with more %s than limits allows this host's programs", class.Name, name)
		}
	}
	return nil
}

// classNames returns the names of classes as JSON. Nothing else of them is shown.
func classNames(v string) string {
	var tables map[string]json.RawMessage
	_ = json.Unmarshal([]byte(v), &tables) // errors have been reported
	return "[" + strings.Join(slices.Sorted(maps.Keys(tables)), ", ") + "]"
}
