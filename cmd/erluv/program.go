package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"erluv/stat"
	"erluv/wire/client"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// A program is one of erluv's, as a command knows it.
type program struct {
	worker etf.Pid
	items  []stat.Item
}

// number is the worker's number, as Erlang prints it at the end of its pid.
func (p program) number() string { return fmt.Sprintf("%d.%d", p.worker.ID, p.worker.Serial) }

// programs are those that erluv has, watchers of files not among them.
func programs(ctx context.Context, c *client.Client) (list []program, err error) {
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

// numbered is a worker's number: 17.0, <0.17.0> or #PID<0.17.0>.
var numbered = regexp.MustCompile(`^(?:(?:#PID)?<[0-9]+\.)?([0-9]+)\.([0-9]+)>?$`)

// find is the process to call for what a user names: a pid, or a name, of which it is not
// known whether there is one.
func find(ctx context.Context, c *client.Client, what string) (etf.Term, error) {
	var is func(p program) bool
	if pid, err := strconv.ParseInt(what, 10, 32); err == nil && pid > 0 {
		is = func(p program) bool { return stat.Find(p.items, "os_pid") == pid }
	} else if m := numbered.FindStringSubmatch(what); m != nil {
		is = func(p program) bool { return p.number() == m[1]+"."+m[2] }
	} else if name := etf.Atom(what); name.Valid() && name != "" && !gen.IsName(name) {
		return name, nil
	} else {
		return nil, fmt.Errorf("%q is no name of a program", what)
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

func noProgram(what string) error {
	return fmt.Errorf("there is no program %s: erluv ps lists those that there are", what)
}

// act makes one call to the program that a user names, by look or by ask.
func (o *operator) act(what string, call func(context.Context, *client.Client, etf.Term, etf.Term) (etf.Term, error), request etf.Term) (etf.Term, error) {
	ctx, cancel := untilSignal()
	defer cancel()
	c, err := o.connect(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	to, err := find(ctx, c, what)
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, c, to, request)
	return answer, gone(what, err)
}

// gone makes of a call's error the one of a program that is not there.
func gone(what string, err error) error {
	var exit *client.Exit
	if errors.As(err, &exit) && exit.Reason == etf.Atom("noproc") {
		return noProgram(what)
	}
	return err
}
