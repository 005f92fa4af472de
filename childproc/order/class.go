package order

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/workers"
)

// Class is a program that this host offers. The configuration says what the program is. The caller
// decides how to talk to it.
type Class struct {
	ipc.Class
	args []*regexp.Regexp
}

// NewClass makes a class of main's description. The error names a pattern of args that is wrong.
func NewClass(is ipc.Class) (*Class, error) {
	c := &Class{Class: is}
	for _, pattern := range is.Args {
		p, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return nil, fmt.Errorf("the class %s has a wrong pattern %q in args: %w", is.Name, pattern, err)
		}
		c.args = append(c.args, p)
	}
	return c, nil
}

// ClassOf reads a Cmd of the form {class, Name, Args}. ok is false for another.
func ClassOf(cmd etf.Term) (name string, args etf.Term, ok bool) {
	t, is := cmd.(etf.Tuple)
	if !is || len(t) != 3 || t[0] != etf.Atom("class") {
		return "", nil, false
	}
	name, ok = nameOf(t[1])
	return name, t[2], ok
}

// classOptions are the options that a caller can set for a program of a class. The class decides
// which program it is, what it may reach, and as which user it runs. So a host with run = "classes"
// starts no other programs.
var classOptions = []etf.Atom{
	"owner", "link", "detached", "name", "id", "proxy", "stdin", "stdout", "stderr", "pty", "packet", "flow", "keep", "input", "max_output",
	"kill_signal", "kill_timeout", "stop_sequence", "timeout", "idle_timeout",
	"ready", "ready_timeout", "ready_reply", "watchdog", "restart", "max_restarts", "backoff",
}

// command sets the order's program to that of the class, with the caller's arguments.
func (c *Class) command(o *Order, args etf.Term) *BadOption {
	bad := func(format string, with ...any) *BadOption {
		return &BadOption{etf.Atom("cmd"), fmt.Sprintf(format, with...)}
	}
	list, ok := args.(etf.List)
	if !ok {
		return bad("must be {class, Name, Args} with a list of binaries or strings")
	}
	o.Spec.Program, o.Spec.Args = c.Command[0], slices.Clone(c.Command)
	for i, t := range list {
		s, ok := etf.Text(t)
		switch {
		case !ok || strings.IndexByte(s, 0) >= 0:
			return bad("argument %d is neither a binary nor a string, or holds a NUL byte", i+1)
		case !slices.ContainsFunc(c.args, func(p *regexp.Regexp) bool { return p.MatchString(s) }):
			return bad("argument %d is none that the class %s allows", i+1, c.Name)
		}
		o.Spec.Args = append(o.Spec.Args, s)
	}
	o.Class, o.Spec.Dir = c, c.Dir
	o.Spec.Attributes.Limits, o.Spec.Attributes.Confine = c.Limits, c.Confine
	return nil
}

// settleClass refuses what no caller of a class may set: other options, and files, which are opened
// as the user of the programs.
func (r *reading) settleClass() *BadOption {
	if r.o.Class == nil {
		return nil
	}
	for _, opt := range r.given {
		key := opt.Key.(etf.Atom)
		if !slices.Contains(classOptions, key) {
			return &BadOption{key, fmt.Sprintf("is not for a class: the host says it of the class %s", r.o.Class.Name)}
		}
	}
	for i, s := range r.o.Spec.Streams {
		if s.Kind == workers.File {
			return &BadOption{etf.Atom([...]string{"stdin", "stdout", "stderr"}[i]), "must be no file for a class"}
		}
	}
	if r.o.Ready.By == ByFile {
		return &BadOption{etf.Atom("ready"), "must be no file for a class"}
	}
	return nil
}

// settleCaps keeps the order within the bounds of the host. A missing limit becomes the host's. A
// larger one is refused, since a program that needs more cannot run here. A longer stop is
// shortened.
func (r *reading) settleCaps() *BadOption {
	l, caps := &r.o.Spec.Attributes.Limits, &r.Limits
	for one := range ipc.NumLimits {
		if asked, most := l.Of(one), caps.Of(one); most > 0 && asked > most {
			return &BadOption{etf.Atom("limits"), fmt.Sprintf("%s must be %d at most on this host", one, most)}
		}
	}
	if l.Memory == 0 {
		l.Memory = caps.Memory
	}
	if l.PIDs == 0 {
		l.PIDs = caps.PIDs
	}
	if l.CPU == 0 {
		l.CPU = caps.CPU
	}
	if r.MaxKillTimeout > 0 {
		r.o.Spec.StopSteps = cut(r.o.Spec.StopSteps, &r.o.Spec.KillTimeout, r.MaxKillTimeout)
	}
	return nil
}

// cut shortens a stop to most. It shortens the last waits of a sequence first.
func cut(steps []workers.Step, last *time.Duration, most time.Duration) []workers.Step {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Wait = min(steps[i].Wait, most)
		most -= steps[i].Wait
	}
	*last = min(*last, most)
	return steps
}
