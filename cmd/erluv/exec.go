package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// execCommand is the command that runs a program at an erluv, with this process's standard streams.
type execCommand struct {
	operator
	input, terminal, plain bool // flags: -i, -t, -T
	user, dir, as          string
	env                    []string
}

// Exit statuses of exec itself, not of its program. They are the same as in env(1), nohup(1) and
// ssh(1).
const (
	statusNotStarted    = 125 // no program was started
	statusNotExecutable = 126 // the program cannot be executed
	statusNotFound      = 127 // the program does not exist
	statusOfSignal      = 128 // plus the signal's number: a signal has ended the program or this command
	statusLost          = 255 // the program was started, and its end cannot be known
)

func (c *command) exec() *cobra.Command {
	e := &execCommand{operator: operator{command: c}}
	cmd := e.add(&cobra.Command{
		Use: "exec [flags] [--] PROGRAM [ARGUMENT...]", Short: "run a program at an erluv, with this terminal",
		Long: `Run a program at an erluv on this machine, with the standard streams of this
command. If input and output are a terminal, the program gets one of the same
size, and Ctrl-C goes to the program. The program ends with this command.

The exit status is that of the program, or 128 plus the number of the signal
that ended it. It is 125 if erluv started no program, 126 if the program cannot
be executed, and 127 if it does not exist. It is 255 if the connection to erluv
was lost.`,
		Example: `  sudo erluv exec -- sh
  sudo erluv exec --user app --env DEBUG=1 -- /opt/app/bin/app check
  sudo erluv exec -- tar -C /srv -c . >srv.tar
  erluv exec --at erluv_db1@db1.example.com -- df -h`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return usageError{errors.New("exec takes a program")}
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              e.run,
	}, false)
	set := cmd.Flags()
	set.SetInterspersed(false) // words after the program belong to the program
	set.BoolVarP(&e.input, "stdin", "i", false, "give the program standard input (the default)")
	set.BoolVarP(&e.terminal, "tty", "t", false, "give it a terminal, even if input or output is not one")
	set.BoolVarP(&e.plain, "no-tty", "T", false, "give it no terminal")
	set.VarP(&choice{&e.user, "user", nil}, "user", "", "run it as this user, who must be in allow_users")
	set.StringArrayVar(&e.env, "env", nil, "`name=value`: set an environment variable; name alone: copy it from here")
	set.VarP(&choice{&e.dir, "path", nil}, "cd", "", "its working directory (default /)")
	set.VarP(&choice{&e.as, "name", nil}, "as", "", "its name in erluv ps and other commands")
	for _, flag := range []string{"user", "env", "as"} {
		noFiles(cmd, flag)
	}
	return cmd
}

func (e *execCommand) run(_ *cobra.Command, args []string) error {
	if e.terminal && e.plain {
		return usageError{errors.New("-t and -T exclude each other")}
	}
	var terminal *tty
	in, out := isTerminal(os.Stdin), isTerminal(os.Stdout)
	if e.terminal || in && out && !e.plain {
		terminal = &tty{in: int(os.Stdin.Fd()), out: int(os.Stdout.Fd())}
	}
	request, err := e.request(args, terminal)
	if err != nil {
		return err
	}
	s := newSession(terminal)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.c, err = e.connect(ctx, s.deliver); err != nil {
		return statusError{err, statusNotStarted}
	}
	defer s.c.Close()
	if err := s.start(ctx, request, args[0]); err != nil {
		return err
	}
	end, err := s.run(ctx, in && terminal != nil)
	if errors.Is(err, errLost) {
		err = statusError{e.lost(s.c), statusLost}
	}
	if err != nil {
		return err
	}
	return ended(end)
}

// request is the request to erluv. exec reads the output chunk by chunk, so no more is on its way
// than exec asks for.
func (e *execCommand) request(args []string, terminal *tty) (etf.Term, error) {
	cmd := make(etf.List, len(args))
	for i, arg := range args {
		cmd[i] = etf.Binary(arg)
	}
	var env etf.Map
	if term := os.Getenv("TERM"); term != "" && terminal != nil {
		env = append(env, etf.Pair{Key: etf.Binary("TERM"), Value: etf.Binary(term)})
	}
	for _, v := range e.env {
		name, value, given := strings.Cut(v, "=")
		if !given {
			if value, given = os.LookupEnv(name); !given {
				continue
			}
		}
		if name == "" {
			return nil, usageError{fmt.Errorf("--env takes name=value, or a name, not %q", v)}
		}
		env = append(env, etf.Pair{Key: etf.Binary(name), Value: etf.Binary(value)})
	}
	opts := etf.Map{
		{Key: etf.Atom("flow"), Value: etf.Tuple{etf.Atom("active"), etf.Atom("false")}},
		{Key: etf.Atom("login"), Value: etf.Atom("true")},
		{Key: etf.Atom("env"), Value: unique(env)},
	}
	for _, o := range []struct {
		key etf.Atom
		to  string
	}{{"user", e.user}, {"cd", e.dir}} {
		if o.to != "" {
			opts = append(opts, etf.Pair{Key: o.key, Value: etf.Binary(o.to)})
		}
	}
	if e.as != "" {
		if !isName(e.as) {
			return nil, usageError{fmt.Errorf("%q is no name of a program", e.as)}
		}
		opts = append(opts, etf.Pair{Key: etf.Atom("name"), Value: etf.Atom(e.as)})
	}
	if terminal != nil {
		opts = append(opts, etf.Pair{Key: etf.Atom("pty"), Value: ptyOf(terminal)})
	}
	return etf.Tuple{etf.Atom("exec"), cmd, opts}, nil
}

// unique returns an environment with each name once, as a map requires. The last value counts.
func unique(env etf.Map) (list etf.Map) {
	at := map[string]int{}
	for _, v := range env {
		name := string(v.Key.(etf.Binary))
		if i, ok := at[name]; ok {
			list[i] = v
			continue
		}
		at[name] = len(list)
		list = append(list, v)
	}
	return list
}

// ptyOf describes a terminal like this one.
func ptyOf(t *tty) etf.Term {
	settings := etf.Map{}
	if rows, cols, err := t.size(); err == nil {
		settings = etf.Map{{Key: etf.Atom("rows"), Value: int64(rows)}, {Key: etf.Atom("cols"), Value: int64(cols)}}
	}
	if t.isUTF8() {
		settings = append(settings, etf.Pair{Key: etf.Atom("iutf8"), Value: etf.Atom("true")})
	}
	return settings
}

// ofExec gives statusNotStarted to each error of exec that has no status: no program was started.
func ofExec(err error) error {
	var own statusError
	var silent silentError
	switch {
	case err == nil, errors.As(err, &own), errors.As(err, &silent):
		return err
	case errors.As(err, new(usageError)):
		err = fmt.Errorf("%w; see erluv exec --help", err)
	}
	return statusError{err, statusNotStarted}
}

// ended turns the end of the program into the end of the command: {exit_status, N}, {signal, S} or
// {signal, S, core}.
func ended(end etf.Tuple) error {
	if n, ok := end[1].(int64); ok && end[0] == etf.Atom("exit_status") {
		if n == 0 {
			return nil
		}
		return silentError{int(n)}
	}
	sig, err := gen.ReadSignal(end[1])
	if err != nil || end[0] != etf.Atom("signal") {
		return statusError{fmt.Errorf("erluv says that the program has ended, and how is not understood: %s", etf.Format(end)), statusLost}
	}
	return silentError{statusOfSignal + int(sig)}
}

// notStarted is the error if erluv has not started the program.
func notStarted(program string, reason etf.Term) error {
	failed := func(status int, format string, args ...any) error {
		return statusError{fmt.Errorf(format, args...), status}
	}
	kind, what := reason, etf.Term(nil)
	if t, ok := reason.(etf.Tuple); ok && len(t) > 1 {
		kind, what = t[0], t[1]
	}
	switch kind {
	case etf.Atom("enoent"):
		return failed(statusNotFound, "there is no program %q there", program)
	case etf.Atom("eacces"), etf.Atom("enoexec"):
		return failed(statusNotExecutable, "%q cannot be executed there: %v", program, kind)
	case etf.Atom("remote_exec"):
		return failed(statusNotStarted, "this erluv starts no programs of operators: its configuration says remote_exec = false")
	case etf.Atom("node_not_ready"):
		return failed(statusNotStarted, "this erluv starts no programs in its state, %s: erluv status set ready changes that", etf.Format(what))
	case etf.Atom("class"):
		return failed(statusNotStarted, "this erluv starts the programs of its classes alone: its configuration says run = classes")
	case etf.Atom("user"):
		return failed(statusNotStarted, "no program may be run there as that user (%s): allow_users in its configuration says who is allowed", etf.Format(what))
	case etf.Atom("cd"):
		return failed(statusNotStarted, "it cannot start in that directory: %s", etf.Format(what))
	}
	return statusError{refusal(reason), statusNotStarted}
}
