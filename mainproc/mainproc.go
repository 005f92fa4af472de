package mainproc

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"erluv/config"
	"erluv/discover"
	"erluv/ipc"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/sandbox"
	"erluv/wire/client"
	"erluv/wire/etf"
)

// Options are settings of Run beside the configuration.
type Options struct {
	Version string // of erluv
	Up      func() // called once, when the node is up for the first time; it must not block
	// Alone says that the process is erluv's own. Run then makes it the parent of orphans that
	// roles leave behind, and reaps all children of the process.
	Alone bool
}

// dumpBound is how long main may take to log its state.
const dumpBound = 2 * time.Second

var errInput = errors.New("standard input has ended")

// Run connects to the node and serves it. It ends with ctx, with standard input (if that is a pipe
// or a socket), at a node's request, or as the configuration says. It returns nil for an orderly
// end; ExitStatus distinguishes the errors. When it returns, no process or goroutine that it has
// started is left.
//
// The process, which holds the cookie, becomes undumpable: if an ordinary user runs it, programs
// run as the same user.
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
	told := newService(log) // before any other code reads the environment
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
	if len(cfg.TLSIgnored) > 0 {
		log.Info("options of tls_optfile have no effect here", "options", strings.Join(cfg.TLSIgnored, ", "))
	}
	self := link.NewSelf(cfg)
	relay := relaysOf(launcher.Relays())
	if err := g.listen(ctx, cfg, self, relay); err != nil {
		return err
	}
	if err := g.listenToOperators(cfg.Control, self); err != nil {
		g.doors.close()
		return err
	}
	g.doors.admit(self, string(cfg.Cookie), log)
	g.stays = keeps(cfg)
	g.dial(cfg, self, relay)
	return g.run(ctx)
}

// Fits returns Run's error for a configuration that requires something that this machine will never
// have.
func Fits(cfg *config.Config) error {
	_, _, err := choose(cfg)
	return err
}

// Listens tries to listen. It returns the error that would end Run, and Run's warnings.
func Listens(ctx context.Context, cfg *config.Config) (warnings []string, problem error) {
	if !cfg.Listen.On() {
		return nil, nil
	}
	if _, err := settle(ctx, cfg, link.NewSelf(cfg)); err != nil {
		return nil, err
	}
	open, err := listeners(ctx, cfg)
	for _, l := range open {
		_ = l.Close()
	}
	return reachable(ctx, cfg), err
}

func choose(cfg *config.Config) (parts sandbox.Parts, lacks []string, err error) {
	if err := sandbox.Privileges(); err != nil {
		return 0, nil, err
	}
	return sandbox.Choose(sandbox.Mode(cfg.Sandbox))
}

// Ping connects to the nodes that Run would serve, authenticates, and disconnects. With serve =
// first it stops at the first node that accepts. It returns the names of the nodes that have
// accepted, and the errors of the others. Before that it fails if Fits does.
func Ping(ctx context.Context, cfg *config.Config) (accepted []string, err error) {
	if err := Fits(cfg); err != nil {
		return nil, err
	}
	if len(cfg.Targets) == 0 && cfg.Source == (discover.Source{}) {
		return nil, errors.New("there is no node to ask: erluv listens alone, and node names none")
	}
	targets, err := known(ctx, cfg)
	if err != nil {
		return nil, err
	}
	self := link.NewSelf(cfg)
	start, end, err := soleRelays(cfg)
	if err != nil {
		return nil, err
	}
	defer end()
	var refused []error
	for _, t := range targets {
		d := link.NewDialer(1, cfg, self, t)
		d.Relay = start
		l, err := d.Connect(ctx)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		l.Close()
		accepted = append(accepted, t.Node)
		if cfg.Serve == config.ServeFirst {
			return accepted, nil
		}
	}
	return accepted, joined(refused)
}

// Client connects to the configured node, as a node that calls and sends. See package client for c
// and deliver. leave disconnects.
func Client(ctx context.Context, cfg *config.Config, deliver func(etf.Term)) (c *client.Client, leave func(), err error) {
	targets, err := known(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	d := link.NewDialer(1, cfg, link.NewSelf(cfg), targets[0])
	start, end, err := soleRelays(cfg)
	if err != nil {
		return nil, nil, err
	}
	d.Relay = start
	l, err := d.Connect(ctx)
	if err != nil {
		end()
		return nil, nil, err
	}
	if c, err = l.Client(deliver); err != nil {
		l.Close()
		end()
		return nil, nil, err
	}
	return c, func() { c.Close(); l.Close(); end() }, nil
}

// soleRelays returns a function that starts relays without a crew. Once all links have been closed,
// end waits for the relays.
func soleRelays(cfg *config.Config) (start link.StartRelay, end func(), err error) {
	if !cfg.TLS {
		return nil, func() {}, nil
	}
	parts, _, err := choose(cfg)
	if err != nil {
		return nil, nil, err
	}
	id, err := identity(cfg)
	if err != nil {
		return nil, nil, err
	}
	r, err := crew.NewRelays(id, parts)
	if err != nil {
		return nil, nil, err
	}
	return relaysOf(r), r.Close, nil
}

func relaysOf(r *crew.Relays) link.StartRelay {
	return func(ctx context.Context, m ipc.StartRelay, fds ...int) (link.Relay, error) {
		relay, err := r.Start(ctx, m, fds...)
		if err != nil {
			return nil, err // not relay: a nil *crew.Relay would make a non-nil link.Relay
		}
		return relay, nil
	}
}

// host is the real world of a guard.
type host struct {
	cfg      *config.Config
	launcher *crew.Launcher
}

func (h *host) launch(ctx context.Context) (roles, error) {
	c, err := h.launcher.Launch(ctx)
	if err != nil {
		return nil, err // not c: a nil *crew.Crew would make non-nil roles
	}
	return c, nil
}

// keep keeps a connection that a child has left.
func (h *host) keep(l *link.Link, why etf.Term) (keeper, error) {
	k, err := l.Keep(why, h.cfg.Controller, h.cfg.DieTimeout)
	if err != nil {
		return nil, err // not k, for the same reason
	}
	return k, nil
}
