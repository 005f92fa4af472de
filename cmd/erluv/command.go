package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"

	"erluv/config"
	"erluv/journald"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// A command is one invocation of erluv by a user.
type command struct {
	given    map[string]string // the flags, by the names of their keys
	twice    []string          // flags that are given more than once
	environ  []string          // the secrets of the environment, after a handover
	handover string            // flag: descriptor of the secrets, see secret.go
	report   string            // flag: descriptor of the waiting process, see detach.go
	entry    string            // the node that is the argument of map and call
	machine  config.Machine

	stdout, stderr io.Writer
}

// main runs the command line and returns the exit status.
func (c *command) main(args []string) int {
	root, err := c.root()
	path := "erluv" // the words of the command, as typed
	if err == nil {
		root.SetArgs(args)
		var cmd *cobra.Command
		cmd, err = root.ExecuteC()
		path = cmd.CommandPath()
		if cmd.Name() == "exec" {
			err = ofExec(err)
		}
	}
	return status(err, path, c.stderr) // c.stderr: as run has set it
}

// root builds the command line.
func (c *command) root() (*cobra.Command, error) {
	root := &cobra.Command{
		Use: "erluv", Short: "run programs for an Erlang node", Long: about, Example: examples,
		Args: noArguments, ValidArgsFunction: cobra.NoFileCompletions,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{suggest(cmd, err)} })
	root.SetUsageFunc(usage)
	var versionWanted bool
	root.Flags().BoolVar(&versionWanted, "version", false, "print the version")
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if versionWanted {
			return c.version(cmd, args)
		}
		return c.run(cmd, args)
	}
	for _, sub := range []struct {
		*cobra.Command
		effective func(config.Key) bool // nil: it has no settings
	}{
		{root, all},
		{&cobra.Command{Use: "run", Short: "connect to a node and serve it (the default)", Long: aboutRun, Example: examplesOfRun, RunE: c.run}, all},
		{&cobra.Command{Use: "config", Short: "print every setting with its source", Long: aboutConfig, Example: examplesOfConfig, RunE: c.config}, all},
		{&cobra.Command{Use: "ping", Short: "test the connection to a node", Long: aboutPing, Example: examplesOfPing, RunE: c.ping}, connecting},
		{mapOf(c), entering},
		{callOf(c), entering},
		{namesOf(c), mapping},
		{&cobra.Command{Use: "version", Short: "print the version", Long: aboutVersion, DisableFlagsInUseLine: true, RunE: c.version}, none},
		{c.ps(), nil},
		{c.top(), nil},
		{c.web(), nil},
		{c.info(), nil},
		{c.logs(), nil},
		{c.signal(), nil},
		{c.stop(), nil},
		{c.status(), nil},
		{c.drain(), nil},
		{c.exec(), nil},
		{c.completion(), none},
	} {
		if sub.Command != root {
			root.AddCommand(sub.Command)
		}
		if sub.Args == nil {
			sub.Args, sub.ValidArgsFunction = noArguments, cobra.NoFileCompletions
		}
		var err error
		if sub.effective != nil {
			c.flags(sub.Flags(), sub.effective)
			err = completeValues(sub.Command)
		}
		sub.Flags().BoolP("help", "h", false, "print this")
		if err != nil {
			return nil, err
		}
	}
	return root, nil
}

// suggest adds to the error of an unknown flag a flag of this command that may be meant. It does
// not suggest settings that the command does not use.
func suggest(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := unknown.GetSpecifiedName()
	switch flag := config.SuggestFlag(name); {
	case flag == name:
		return fmt.Errorf("%s takes no --%s", cmd.Name(), name)
	case flag != "" && cmd.Flags().Lookup(flag) != nil:
		return fmt.Errorf("%w: is --%s meant?", err, flag)
	}
	return err
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() {
		return usageError{fmt.Errorf("%s takes flags only, not %q", cmd.Name(), args[0])}
	}
	return usageError{fmt.Errorf("there is no command %q", args[0])}
}

// run is `erluv` and `erluv run`.
func (c *command) run(*cobra.Command, []string) error {
	if c.report != "" {
		if err := c.openReport(); err != nil {
			return err
		}
	}
	if err := c.hideSecrets("run"); err != nil {
		return err
	}
	cfg, err := c.ready()
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	if cfg.Detach && c.report == "" {
		return c.detach(ctx)
	}
	// A panic ends the process by SIGABRT, and so does the SIGABRT of a watchdog. Go's own status
	// would be 2, for which service managers do not restart it.
	debug.SetTraceback("crash")
	dieOfAbort()
	up := func() {}
	if c.report != "" {
		if up, err = c.daemon(); err != nil {
			return err
		}
	}
	return serve(ctx, cfg, stderrLogger(cfg), up)
}

func (c *command) ping(*cobra.Command, []string) error {
	if err := c.hideSecrets("ping"); err != nil {
		return err
	}
	cfg, err := c.ready()
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	accepted, err := ping(ctx, cfg)
	for _, node := range accepted {
		if node == cfg.Node {
			fmt.Fprintln(c.stdout, "pong")
		} else { // one of several
			fmt.Fprintln(c.stdout, "pong", node)
		}
	}
	return err
}

func (c *command) config(*cobra.Command, []string) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := printSettings(c.stdout, cfg.Settings()); err != nil {
		return err
	}
	// Missing settings are no error here, because they may be set where run is called.
	var problems []string
	if missing := (*config.Error)(nil); errors.As(cfg.Check(), &missing) {
		problems = missing.Problems
	}
	if err := fits(cfg); err != nil {
		problems = append(problems, err.Error())
	}
	for _, problem := range problems {
		complain(c.stderr, "run and ping would fail: "+problem)
	}
	if len(problems) == 0 {
		c.listens(cfg)
	}
	return nil
}

// listens prints reasons why nodes could not connect.
func (c *command) listens(cfg *config.Config) {
	ctx, cancel := untilSignal()
	defer cancel()
	warnings, problem := listens(ctx, cfg)
	if problem != nil {
		complain(c.stderr, "run would fail: "+problem.Error())
	}
	for _, w := range warnings {
		complain(c.stderr, "warning: "+w)
	}
}

func (c *command) version(*cobra.Command, []string) error {
	if len(c.given) > 0 {
		return usageError{errors.New("version takes no settings")}
	}
	fmt.Fprintln(c.stdout, "erluv", versionText())
	return nil
}

// load reads the configuration and prints its warnings. A daemon does not print them, since the
// waiting process has done so.
func (c *command) load() (*config.Config, error) {
	if len(c.twice) > 0 {
		return nil, usageError{fmt.Errorf("--%s is given twice", c.twice[0])}
	}
	cfg, warnings, err := config.Load(config.Sources{
		Args: c.given, Environ: append(os.Environ(), c.environ...), Machine: c.machine, Entry: c.entry,
	})
	if c.report != "" {
		return cfg, err
	}
	for _, w := range warnings {
		if cfg != nil && cfg.LogFormat == config.FormatJSON {
			slog.New(slog.NewJSONHandler(c.stderr, nil)).Warn(string(w))
		} else {
			complain(c.stderr, "warning: "+string(w))
		}
	}
	return cfg, err
}

// ready loads a configuration that is complete enough to connect.
func (c *command) ready() (*config.Config, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	return cfg, cfg.Check()
}

// untilSignal returns a context that ends with the first signal that asks erluv to stop. An ignored
// SIGHUP stays ignored, as nohup(1) requires.
func untilSignal() (context.Context, context.CancelFunc) {
	stop := []os.Signal{unix.SIGTERM, unix.SIGINT}
	if !signal.Ignored(unix.SIGHUP) {
		stop = append(stop, unix.SIGHUP)
	}
	// Without this the Go runtime would die of a broken pipe on descriptor 2. The reader of the log
	// may go, but the node must stay.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, stop...)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() { // ends with the first signal, or with the context
		select {
		case s := <-signals:
			cancel(errors.New(unix.SignalName(s.(unix.Signal))))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

func newLogger(w io.Writer, cfg *config.Config) *slog.Logger { return slog.New(newHandler(w, cfg)) }

func newHandler(w io.Writer, cfg *config.Config) slog.Handler {
	options := optionsOf(cfg)
	if cfg.LogFormat == config.FormatJSON {
		return slog.NewJSONHandler(w, &options)
	}
	return slog.NewTextHandler(w, &options)
}

func optionsOf(cfg *config.Config) slog.HandlerOptions {
	return slog.HandlerOptions{Level: cfg.LogLevel, ReplaceAttr: traceByName}
}

// stderrLogger logs to standard error, or to the journal if standard error is a stream to it.
func stderrLogger(cfg *config.Config) *slog.Logger {
	lines := newHandler(os.Stderr, cfg)
	if !journald.Is(unix.Stderr, os.Getenv(journald.Stream)) {
		return slog.New(lines)
	}
	h, err := journald.New(cfg.LogFormat == config.FormatJSON, optionsOf(cfg), lines)
	if err != nil {
		slog.New(lines).Warn("the lines of the log have no fields in the journal", "error", err)
		return slog.New(lines)
	}
	return slog.New(h)
}

// dieOfAbort makes SIGABRT end the process at once. For a SIGABRT the runtime makes one thread
// after the other print its stack, with SIGQUIT. It would wait ten seconds for threads whose
// SIGQUIT goes to a log, so that signal is reset first.
func dieOfAbort() {
	abort := make(chan os.Signal, 1)
	signal.Notify(abort, unix.SIGABRT)
	go func() { // ends with the process
		<-abort
		signal.Reset(unix.SIGQUIT, unix.SIGABRT)
		_ = unix.Kill(unix.Getpid(), unix.SIGABRT)
	}()
}

// traceByName writes the level that slog has no name for with its name in log_level.
func traceByName(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == config.LevelTrace {
		return slog.String(a.Key, "TRACE")
	}
	return a
}
