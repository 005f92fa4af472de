package order

import (
	"fmt"
	"strings"

	"erluv/ipc"
	"erluv/wire/etf"
)

// environ is the environment of a program in an order. Each name is there once.
type environ struct {
	vars []variable
	at   map[string]int // index of a name in vars
}

type variable struct {
	name, value string
	removed     bool // the name must stay absent
}

// put sets a variable, in place of any earlier one of the name.
func (e *environ) put(v variable) {
	if i, ok := e.at[v.name]; ok {
		e.vars[i] = v
		return
	}
	if e.at == nil {
		e.at = make(map[string]int)
	}
	e.at[v.name] = len(e.vars)
	e.vars = append(e.vars, v)
}

// offer adds a variable unless there is one of the name.
func (e *environ) offer(name, value string) {
	if _, ok := e.at[name]; !ok {
		e.put(variable{name: name, value: value})
	}
}

// list returns the environment as execve(2) takes it.
func (e *environ) list() []string {
	var list []string
	for _, v := range e.vars {
		if !v.removed {
			list = append(list, v.name+"="+v.value)
		}
	}
	return list
}

// inherit adds the named variables of another environment.
func (e *environ) inherit(names []string, from map[string]string) {
	for _, name := range names {
		if v, ok := from[name]; ok {
			e.offer(name, v)
		}
	}
}

// login adds the variables that a login sets for a user.
func (e *environ) login(a ipc.Allowed) {
	for _, v := range [][2]string{{"HOME", a.Home}, {"USER", a.User}, {"LOGNAME", a.User}, {"SHELL", a.Shell}} {
		if v[1] != "" {
			e.offer(v[0], v[1])
		}
	}
}

// toEnv takes #{Name => Value} or [{Name, Value}]. The last value of a name counts, whether the
// name is text or an atom. The value false removes the name, as with open_port/2.
func toEnv(to *environ, v etf.Term) error {
	bad := fmt.Errorf("must be a map or list of names and values, binaries or strings, or false for a value")
	pairs, ok := pairsOf(v)
	if !ok {
		return bad
	}
	for _, p := range pairs {
		name, ok1 := nameOf(p.Key)
		value, ok2 := etf.Text(p.Value)
		removed := p.Value == etf.Atom("false")
		if !ok1 || !ok2 && !removed {
			return bad
		}
		if !isEnvName(name) || strings.IndexByte(value, 0) >= 0 {
			return fmt.Errorf("a name must not be empty or contain '=', and a name or value must not contain a NUL byte")
		}
		to.put(variable{name, value, removed})
	}
	return nil
}

// nameOf reads the name of an environment variable or an account. It may be text or an atom,
// because it is often a key of a map.
func nameOf(t etf.Term) (string, bool) {
	if a, ok := t.(etf.Atom); ok {
		return string(a), true
	}
	return etf.Text(t)
}

func isEnvName(name string) bool { return name != "" && !strings.ContainsAny(name, "=\x00") }

func toInherit(to *[]string, v etf.Term) error {
	list, ok := v.(etf.List)
	if !ok {
		return fmt.Errorf("must be a list of names")
	}
	for _, t := range list {
		name, ok := nameOf(t)
		if !ok {
			return fmt.Errorf("must be a list of names")
		}
		if !isEnvName(name) {
			return fmt.Errorf("a name must not be empty, or contain '=' or a NUL byte")
		}
		*to = append(*to, name)
	}
	return nil
}

// toSearch takes directories separated by colons, as in PATH (environ(7)).
func toSearch(to *string, v etf.Term) error {
	s, err := pathOf(v)
	if err != nil {
		return fmt.Errorf("must be directories separated by colons, as a binary or string")
	}
	*to = s
	return nil
}
