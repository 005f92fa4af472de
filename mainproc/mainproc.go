package mainproc

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"erluv/config"
	"erluv/ipc"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/sandbox"
	"erluv/wire/etf"
)

// Options are what Run is told beside the configuration.
type Options struct {
	Version string // of erluv
	Up      func() // called once, when the node is up for the first time; it does not block
	// Alone: the process is erluv's own. Then Run makes it the parent of what its
	// roles leave behind, and reaps whatever children it has.
	Alone bool
}

// dumpBound is how long it may take until main says how it stands.
const dumpBound = 2 * time.Second

var errInput = errors.New("standard input has ended")

// Run connects to the node and serves it, until ctx ends, standard input ends
// (when it is a pipe or a socket), the node asks for it, or the configuration has
// it so. It returns nil for an orderly end; ExitStatus tells the others apart.
// Nothing of what it has started is left when it returns.
//
// The process, which holds the cookie, becomes undumpable: when an ordinary user
// runs it, programs run as the same user.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, opts Options) error {
	if err := sandbox.NotDumpable(); err != nil {
		return err
	}
	quit := make(chan struct{})
	if opts.Alone {
		defer ipc.AtQuit(func() {
			select {
			case quit <- struct{}{}:
			case <-time.After(dumpBound):
				ipc.Always(log, "how main stands: it is not up yet, or busy")
			}
		})()
	}
	told := newService(log) // before anything looks at the environment
	parts, lacks, err := choose(cfg)
	if err != nil {
		return err
	}
	if len(lacks) > 0 {
		log.Warn("this kernel cannot confine the child and the programs in all ways", "lacks", strings.Join(lacks, ", "))
	}
	with, err := settingsOf(cfg, parts, log, opts)
	if err != nil {
		return err
	}
	launcher, err := crew.NewLauncher(with)
	if err != nil {
		return err
	}
	defer launcher.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, err := watchInput(0, func() { cancel(errInput) })
	if err != nil {
		return err
	}
	defer in.stop()
	g := guard{
		world: &host{cfg: cfg, launcher: launcher},
		log:   log, up: opts.Up, told: told, quit: quit,
	}
	g.team.StopBound, g.team.DieTimeout = cfg.KillTimeout+crew.StopGrace, cfg.DieTimeout
	dialer := link.NewDialer(1, cfg)
	dialer.Log = log
	g.lines = []*line{{connect: dialer.Connect, Life: link.Life{
		Retry:  cfg.Reconnect != config.ReconnectExit,
		Always: cfg.Reconnect == config.ReconnectAlways,
		Jitter: func(d time.Duration) time.Duration { return rand.N(d + 1) },
	}}}
	return g.run(ctx)
}

// Fits says what the configuration asks for and this machine will never have, as Run does.
func Fits(cfg *config.Config) error {
	_, _, err := choose(cfg)
	return err
}

func choose(cfg *config.Config) (parts sandbox.Parts, lacks []string, err error) {
	if err := sandbox.Privileges(); err != nil {
		return 0, nil, err
	}
	return sandbox.Choose(sandbox.Mode(cfg.Sandbox))
}

// Ping connects to the node, authenticates, and leaves again, if Run would.
func Ping(ctx context.Context, cfg *config.Config) error {
	if err := Fits(cfg); err != nil {
		return err
	}
	l, err := link.NewDialer(1, cfg).Connect(ctx)
	if err != nil {
		return err
	}
	l.Close()
	return nil
}

// host is the real world of a guard.
type host struct {
	cfg      *config.Config
	launcher *crew.Launcher
}

func (h *host) launch(ctx context.Context) (roles, error) {
	c, err := h.launcher.Launch(ctx)
	if err != nil {
		return nil, err // not c: a nil *crew.Crew is roles
	}
	return c, nil
}

// keep goes on with a connection that a child has left.
func (h *host) keep(l *link.Link, why etf.Term) (keeper, error) {
	k, err := l.Keep(why, h.cfg.Controller, h.cfg.DieTimeout)
	if err != nil {
		return nil, err // not k, as above
	}
	return k, nil
}
