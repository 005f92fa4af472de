package mainproc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"erluv/config"
	"erluv/ipc"
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

// maxEnviron bounds, in bytes, what programs may inherit of our environment: it
// travels in one packet of ipc.MaxPacket with the child's other settings.
const maxEnviron = 32 << 10

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
	told := newService(log) // before anything looks at the environment
	id, err := identity(cfg)
	if err != nil {
		return err
	}
	parts, lacks, err := choose(cfg)
	if err != nil {
		return err
	}
	if len(lacks) > 0 {
		log.Warn("this kernel cannot confine the child and the programs in all ways", "lacks", strings.Join(lacks, ", "))
	}
	with := settingsOf(cfg, parts, log, opts.Version)
	if with.child.Allowed, with.others, err = usersOf(cfg); err != nil {
		return err
	}
	ways, tree, err := waysOf(cfg.Contain, id, log)
	if err != nil {
		return err
	}
	if tree != nil {
		defer tree.Remove()
	}
	with.limit(id, ways, tree)
	defer with.limits.Remove()
	if opts.Alone {
		if err := inherit(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, err := watchInput(0, func() { cancel(errInput) })
	if err != nil {
		return err
	}
	defer in.stop()
	s, err := newStarter(parts)
	if err != nil {
		return err
	}
	defer s.close()

	g := guard{
		world: &host{Dialer: link.NewDialer(1, cfg), cfg: cfg, starter: s, id: id, with: with, alone: opts.Alone},
		log:   log,
		up:    opts.Up,
		told:  told,
	}
	g.retry = cfg.Reconnect != config.ReconnectExit
	g.always = cfg.Reconnect == config.ReconnectAlways
	g.stopBound = cfg.KillTimeout + stopGrace
	g.dieTimeout = cfg.DieTimeout
	g.jitter = func(d time.Duration) time.Duration { return rand.N(d + 1) }
	g.final = link.IsFinal
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
	*link.Dialer
	cfg     *config.Config
	starter *starter
	id      sandbox.Identity
	with    settings
	alone   bool
}

func (h *host) launch(ctx context.Context) (crew, error) {
	r, err := launch(ctx, h.starter, h.id, h.with)
	if err != nil {
		return nil, err // not r: a nil *roles is a crew
	}
	h.with.ways = r.serveWith.ways // what never will work is not tried again, nor told
	r.inherits = h.alone
	return r, nil
}

// keep goes on with a connection that a child has left.
func (h *host) keep(l *link.Link, why etf.Term) (keeper, error) {
	k, err := l.Keep(why, h.cfg.Controller, h.cfg.DieTimeout)
	if err != nil {
		return nil, err // not k, as above
	}
	return k, nil
}

// identity is whom the roles run as. The configuration has refused root already;
// what stands between a program and root's ids is looked at twice.
func identity(cfg *config.Config) (sandbox.Identity, error) {
	uid, gid := cfg.RunAs.UID, cfg.RunAs.GID
	euid := os.Geteuid()
	switch {
	case uid <= 0 || gid < 0 || gid == 0 && euid == 0:
		return sandbox.Identity{}, fmt.Errorf("cannot run programs as uid %d, gid %d: set user and group to others than root's", uid, gid)
	case euid != 0 && (uid != euid || gid != os.Getegid()):
		return sandbox.Identity{}, fmt.Errorf("cannot run programs as uid %d, gid %d: only root can choose", uid, gid)
	}
	id := sandbox.Identity{UID: uint32(uid), GID: uint32(gid)}
	id.Keeper = sandbox.DrawKeeper(id)
	return id, nil
}

func settingsOf(cfg *config.Config, parts sandbox.Parts, log *slog.Logger, version string) settings {
	environ, left := inheritable(os.Environ())
	if left > 0 {
		log.Warn("the environment is too large: programs cannot inherit all of it", "left_out", left)
	}
	reports := !ipc.PidfdsSuffice()
	return settings{
		child: ipc.Start{
			Controller:    cfg.Controller,
			ErluvVersion:  version,
			CookieSource:  cfg.CookieSource(),
			User:          cfg.RunAs.User,
			MaxWorkers:    uint32(cfg.MaxWorkers),
			KillTimeoutMS: uint32(min(cfg.KillTimeout.Milliseconds(), 1<<31)),
			Reports:       reports,
			Sandbox:       strings.TrimSpace(cfg.Sandbox + " " + parts.String()),
			Environ:       environ,
		},
		spawner: ipc.StartSpawner{Path: cfg.Path, Reports: reports, Scope: parts.Has(sandbox.Scope), Deny: parts.Has(sandbox.Seccomp)},
		log:     log,
	}
}

// inheritable is what of our environment a program may ask for: nothing that is
// erluv's own, the cookie for one, and maxEnviron bytes at most; left counts what
// had no room.
func inheritable(environ []string) (list []string, left int) {
	size := 0
	for _, v := range environ {
		switch {
		case strings.HasPrefix(v, "ERLUV_"):
		case size+len(v)+4 > maxEnviron:
			left++
		default:
			size += len(v) + 4 // with the length before it
			list = append(list, v)
		}
	}
	return list, left
}
