package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"erluv/config"
	"erluv/control"
	"erluv/web"
	"erluv/wire/dist"

	"github.com/spf13/cobra"
)

// webCommand is the command that serves a page with the programs of an erluv.
type webCommand struct {
	operator
	listen  string
	targets []string // nodes whose erluvs it shows; none: the erluv of this machine
	cfgs    []*config.Config
	names   []string
	looks   bool
}

const webListen = "127.0.0.1:4380"

func (c *command) web() *cobra.Command {
	w := &webCommand{operator: operator{command: c}, listen: webListen}
	cmd := w.add(&cobra.Command{
		Use: "web", Short: "serve a page with the programs, and metrics",
		Long: `Serve a live page with the programs of an erluv on this machine, and /metrics
for Prometheus, until a signal. A process without privileges serves them. The
printed address has a token. With it the page shows arguments of commands, and
stops and restarts programs. Without it the page is for looking only.`,
		Example: `  sudo erluv web
  sudo erluv web --name erluv_db1 --listen 127.0.0.1:4381 --read-only
  erluv web --node shop@control.example.com`,
		RunE: w.run,
	}, false)
	set := cmd.Flags()
	set.Lookup("at").Hidden = true
	set.StringArrayVar(&w.targets, "node", nil, "all erluvs that serve this node; can be repeated")
	set.Lookup("node").DefValue = ""
	cmd.PreRunE = w.prepareAll
	set.VarP(&choice{&w.listen, "host:port", nil}, "listen", "", "the address where the page is served (default "+webListen+")")
	set.StringArrayVar(&w.names, "host", nil, "another host name of this page, such as that of a proxy; can be repeated")
	set.Lookup("host").DefValue = ""
	set.BoolVar(&w.looks, "read-only", false, "never stop or restart programs, not even with the token")
	return cmd
}

// prepareAll reads how to connect to each node.
func (w *webCommand) prepareAll(cmd *cobra.Command, args []string) error {
	if len(w.targets) > 0 {
		w.node = w.targets[0]
	}
	if err := w.prepare(cmd, args); err != nil || w.node == "" {
		return err
	}
	for _, node := range w.targets {
		w.entry = node
		cfg, err := w.ready()
		if err != nil {
			return err
		}
		w.cfgs = append(w.cfgs, cfg)
	}
	return nil
}

func (w *webCommand) run(*cobra.Command, []string) error {
	if w.at != "" {
		return usageError{errors.New("web is for an erluv on this machine: a connection to another would give the page more than it may do")}
	}
	ctx, cancel := untilSignal()
	defer cancel()
	if len(w.targets) == 0 {
		if _, err := w.path(); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", w.listen)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", w.listen, err)
	}
	defer l.Close()
	address := l.Addr().(*net.TCPAddr).AddrPort()
	if !address.Addr().Unmap().IsLoopback() {
		complain(w.stderr, "warning: the page is for all who reach "+address.String()+", and what it says is not encrypted: put it behind a proxy with TLS")
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails, see its document
	given := web.Given{Token: hex.EncodeToString(random[:]), Acts: !w.looks, Names: w.names, Nodes: w.targets}
	p, err := startPage(l.(*net.TCPListener), slog.New(slog.NewTextHandler(w.stderr, nil)))
	if err != nil {
		return err
	}
	_ = l.Close() // the page has a copy
	fmt.Fprintf(w.stdout, "http://%s/?token=%s\n", shownAt(address), given.Token)
	if len(w.targets) == 0 {
		return p.serve(ctx, given, func(ctx context.Context, _ web.Word) (any, *os.File) { return linkedBy(w.link(ctx)) })
	}
	f := newFleet(w, w.cfgs)
	defer f.close()
	ctx, end := context.WithCancel(ctx)
	defer end()
	return p.serve(ctx, given, func(ctx context.Context, word web.Word) (any, *os.File) {
		if word.Do == "hosts" {
			return f.seek(ctx), nil
		}
		return linkedBy(f.link(ctx, word.Host))
	})
}

func linkedBy(l web.Linked, conn *os.File, err error) (web.Linked, *os.File) {
	if err != nil {
		l.Error = err.Error()
	}
	return l, conn
}

// shownAt returns an address for people. For an unspecified address it returns the loopback.
func shownAt(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()).String()
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}

// link connects to erluv as a node that needs few rights.
func (w *webCommand) link(ctx context.Context) (linked web.Linked, _ *os.File, err error) {
	path, err := w.path()
	if err != nil {
		return linked, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectBound, fmt.Errorf("no answer within %v", connectBound))
	defer cancel()
	conn, err := control.Dial(ctx, path)
	if errors.Is(err, control.ErrNobody) {
		return linked, nil, errors.New("erluv does not run")
	}
	if err != nil {
		return linked, nil, err
	}
	defer conn.Close()
	linked.Local = operatorNode()
	rights := "tend"
	if w.looks {
		rights = "look"
	}
	linked.Local.Name = rights + strings.TrimPrefix(linked.Local.Name, "erluv")
	if linked.Peer, err = dist.Connect(ctx, conn, linked.Local, ""); err != nil {
		return linked, nil, err
	}
	linked.Local.Cookie = "" // the page needs none
	f, err := conn.(*net.UnixConn).File()
	return linked, f, err
}
