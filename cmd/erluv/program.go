package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"erluv/stat"
	"erluv/wire/client"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// A program is one of erluv's programs, as a command sees it.
type program struct {
	worker etf.Pid
	items  []stat.Item
}

// number returns the worker's number, as Erlang prints it at the end of its pid.
func (p program) number() string { return fmt.Sprintf("%d.%d", p.worker.ID, p.worker.Serial) }

// programs returns erluv's programs, without watchers of files.
func programs(ctx context.Context, c caller) (list []program, err error) {
	answer, err := look(ctx, c, gen.Manager, etf.Atom("workers"))
	if err != nil {
		return nil, err
	}
	workers, ok := answer.(etf.List)
	for _, w := range workers {
		pair, _ := w.(etf.Tuple)
		if len(pair) != 2 {
			ok = false
			break
		}
		pid, isPid := pair[0].(etf.Pid)
		info, isMap := pair[1].(etf.Map)
		ok = ok && isPid && isMap
		p := program{pid, stat.Read(info)}
		if _, isWatcher := stat.Find(p.items, "path").(string); !isWatcher {
			list = append(list, p)
		}
	}
	if !ok {
		return nil, errors.New("erluv answers with something else than a list of programs")
	}
	return list, nil
}

// meant returns a function that recognizes the programs that a user names. For a name it returns
// the name too.
func meant(what string) (is func(p program) bool, name etf.Atom, err error) {
	if pid, err := strconv.ParseInt(what, 10, 32); err == nil && pid > 0 {
		return func(p program) bool { return stat.Find(p.items, "os_pid") == pid }, "", nil
	}
	if number := stat.WorkerNumber(what); number != "" {
		return func(p program) bool { return p.number() == number }, "", nil
	}
	if isName(what) {
		return func(p program) bool { return stat.Find(p.items, "name") == stat.Word(what) }, etf.Atom(what), nil
	}
	return nil, "", fmt.Errorf("%q is no name of a program", what)
}

// find returns the process to call for a user's word: a pid, or a name, which may not exist.
func find(ctx context.Context, c caller, what string) (etf.Term, error) {
	is, name, err := meant(what)
	if err != nil {
		return nil, err
	}
	if name != "" {
		return name, nil
	}
	list, err := programs(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if is(p) {
			return p.worker, nil
		}
	}
	return nil, noProgram(what)
}

// errNoProgram is the error if an erluv has no program with a name.
var errNoProgram = errors.New("there is no program")

// ends returns the ended programs that erluv remembers, the last one first.
func ends(ctx context.Context, c caller) (list []program, err error) {
	answer, err := look(ctx, c, gen.Manager, etf.Tuple{etf.Atom("info"), etf.Atom("history")})
	if err != nil {
		return nil, err
	}
	wrong := errors.New("erluv answers with something else than a list of ends")
	entries, ok := answer.(etf.List)
	if !ok && answer != nil {
		return nil, wrong
	}
	for _, e := range entries {
		m, _ := e.(etf.Map)
		items := stat.Read(m)
		worker, ok := stat.Find(items, "worker").(stat.Process)
		if !ok {
			return nil, wrong
		}
		list = append(list, program{worker.Pid(), items})
	}
	return list, nil
}

// findEnd returns the last end of a program that a user names.
func findEnd(ctx context.Context, c caller, what string) (program, error) {
	is, _, err := meant(what)
	if err != nil {
		return program{}, err
	}
	list, err := ends(ctx, c)
	if err != nil {
		return program{}, err
	}
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], nil
	}
	return program{}, noProgram(what)
}

func noProgram(what string) error {
	return fmt.Errorf("%w %s: erluv ps lists those that there are", errNoProgram, what)
}

// isName reports whether a word is the name of a program, not a number.
func isName(what string) bool {
	name := etf.Atom(what)
	return !stat.IsNumber(what) && name.Valid() && name != "" && !gen.IsName(name)
}

func errNotNamed(what string) error {
	return fmt.Errorf("with --node a program is named: %s may be another one on each host", what)
}

// act makes one call, by look or by ask, to the program that a user names, at each selected erluv.
// With several erluvs, only those with such a program count.
func (o *operator) act(what string, call func(context.Context, caller, etf.Term, etf.Term) (etf.Term, error), request etf.Term) ([]told[etf.Term], error) {
	if o.node != "" && !isName(what) {
		return nil, usageError{errNotNamed(what)}
	}
	list, err := at(o, func(ctx context.Context, h host) (etf.Term, error) {
		to, err := find(ctx, h, what)
		if err != nil {
			return nil, err
		}
		answer, err := call(ctx, h, to, request)
		return answer, gone(what, err)
	})
	if err != nil || o.node == "" {
		return list, err
	}
	list = slices.DeleteFunc(list, func(t told[etf.Term]) bool { return errors.Is(t.err, errNoProgram) })
	if len(list) == 0 {
		return nil, noProgram(what)
	}
	return list, nil
}

// gone turns a call's error into that of a missing program, if the process does not exist.
func gone(what string, err error) error {
	var exit *client.Exit
	if errors.As(err, &exit) && exit.Reason == etf.Atom("noproc") {
		return noProgram(what)
	}
	return err
}

// complete completes the name of a running program at this machine's erluv.
func (o *operator) complete(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	ctx, cancel := context.WithTimeout(context.Background(), completeBound)
	defer cancel()
	if len(args) > 0 || o.at+o.node != "" {
		return nil, none
	}
	c, err := o.connect(ctx, nil)
	if err != nil {
		return nil, none
	}
	defer c.Close()
	list, err := programs(ctx, c)
	if err == nil {
		list, err = detailed(ctx, c, list)
	}
	if err != nil {
		return nil, none
	}
	var names []string
	for _, p := range list {
		if row := rowOf(p); row.Name != nil {
			names = append(names, *row.Name)
		}
	}
	return names, none
}

// completeBound is how long a shell waits.
const completeBound = 2 * time.Second
