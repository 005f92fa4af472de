package mainproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"erluv/config"
	"erluv/control"
	"erluv/mainproc/link"
	"erluv/wire/dist"
	"erluv/wire/epmd"
)

const (
	// takenBound is how long a name may be taken at the start. EPMD notices the end of an earlier
	// erluv with a short delay.
	takenBound = 2 * time.Second

	// resolveBound bounds the look-up of a host's addresses.
	resolveBound = 2 * time.Second

	// maxDraws is how many random names are tried, and how many ports for several addresses.
	maxDraws = 10
)

// listen prepares the guard for connections of nodes, as configured. The listeners are open when it
// returns; the guard closes them.
func (g *guard) listen(ctx context.Context, cfg *config.Config, self *link.Self, relay link.StartRelay) error {
	if !cfg.Listen.On() {
		return nil
	}
	name, err := settle(ctx, cfg, self)
	if err != nil {
		return err
	}
	open, err := listeners(ctx, cfg)
	if err != nil {
		return err
	}
	for _, problem := range reachable(ctx, cfg) {
		g.log.Warn(problem)
	}
	g.name, g.open = name, true
	allow := func(conn net.Conn, p dist.Peer) error {
		switch {
		case isOperator(p.Name):
			return fmt.Errorf("a name with @%s is for the control socket alone", control.Host)
		case !cfg.MayConnect(p.Name):
			return errors.New("allow_nodes has no such name")
		case cfg.SpeaksTLS(p.Name) && !link.OverTLS(conn):
			return errors.New("it does not speak TLS, and tls_nodes has its name")
		}
		return nil
	}
	door := link.Door{Allow: allow}
	if cfg.TLS {
		door.Carry = link.NewSecure(cfg, relay, ownShares().relays).Carry
	}
	for _, l := range open {
		door.Listener = l
		g.doors.list = append(g.doors.list, door)
		g.doors.at = append(g.doors.at, l.Addr().String())
	}
	keeper := epmd.Keeper{Addr: mapper(cfg), Name: alive(name), Port: uint16(portOf(open[0])), Tell: g.registered}
	g.doors.beside = append(g.doors.beside, keeper.Run)
	return nil
}

// registered logs the state of the registration with EPMD. Another goroutine than the guard's calls
// it, so it uses only the guard's logger and name.
func (g *guard) registered(err error) {
	switch {
	case err == nil:
		g.log.Info("registered with EPMD", "node", g.name)
	case errors.Is(err, epmd.ErrTaken):
		g.log.Error("nodes do not find this one", "error", err)
	default:
		g.log.Warn("nodes find this one only if they know its port", "error", err)
	}
}

// mapper returns the address of this machine's EPMD, which accepts only local registrations.
func mapper(cfg *config.Config) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.EPMDPort))
}

// alive returns the part of a name before the @.
func alive(name string) string {
	name, _, _ = strings.Cut(name, "@")
	return name
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// settle chooses a name that no other node of this machine has.
func settle(ctx context.Context, cfg *config.Config, self *link.Self) (string, error) {
	for draw := 1; ; draw++ {
		name := self.Proposed()
		err := free(ctx, cfg, name)
		if err == nil {
			return self.Settle(), nil
		}
		if cfg.Name != "" || draw == maxDraws {
			return "", err
		}
		self.Redraw(name)
	}
}

// free waits, up to takenBound, until EPMD has no other node of that name.
func free(ctx context.Context, cfg *config.Config, name string) error {
	ctx, cancel := context.WithTimeout(ctx, takenBound)
	defer cancel()
	port := uint16(0)
	for {
		node, err := epmd.Lookup(ctx, mapper(cfg), alive(name))
		switch {
		case err == nil:
			port = node.Port
		case port == 0 || errors.Is(err, epmd.ErrUnknown): // also if there is no EPMD
			return nil
		}
		select {
		case <-time.After(takenBound / 20):
		case <-ctx.Done():
			return fmt.Errorf("cannot listen as %s: the EPMD at %s has a node of that name, at port %d: choose another name, or end that node",
				name, mapper(cfg), port)
		}
	}
}

// place is an address to listen at.
type place struct {
	network, host string
	spare         bool // may fail, because the others are enough
}

// places returns the addresses to listen at.
func places(ctx context.Context, cfg *config.Config) []place {
	host := cfg.Listen.Host
	if ip := net.ParseIP(host); !cfg.Listen.Local() {
		switch {
		case ip.To4() != nil: // 0.0.0.0 would include those of IPv6
			return []place{{network: "tcp4", host: host}}
		default:
			return []place{{network: "tcp", host: host}}
		}
	}
	list := []place{{network: "tcp4", host: "127.0.0.1"}, {network: "tcp6", host: "::1", spare: true}}
	for _, ip := range addresses(ctx, cfg.Host) {
		if four := ip.To4(); four != nil && ip.IsLoopback() && ip.String() != "127.0.0.1" { // 127.0.1.1 in Debian
			list = append(list, place{network: "tcp4", host: ip.String()})
		}
	}
	return list
}

// addresses returns the addresses of a host that can be found.
func addresses(ctx context.Context, host string) []net.IP {
	ctx, cancel := context.WithTimeout(ctx, resolveBound)
	defer cancel()
	list, _ := net.DefaultResolver.LookupIP(ctx, "ip", host)
	return list
}

// reachable returns reasons why nodes that look up the host in erluv's name would not find it.
func reachable(ctx context.Context, cfg *config.Config) (problems []string) {
	if !cfg.Listen.Local() {
		return nil
	}
	for _, ip := range addresses(ctx, cfg.Host) {
		if ip.IsLoopback() {
			return nil
		}
	}
	return []string{fmt.Sprintf("listen is local, and the host in the own name, %s, is not the loopback: nodes that look for it there do not find it: "+
		"set host to localhost or, for long names, to 127.0.0.1", cfg.Host)}
}

// listeners opens all places at one port.
func listeners(ctx context.Context, cfg *config.Config) ([]net.Listener, error) {
	where, l := places(ctx, cfg), cfg.Listen
	tries := l.High - l.Low + 1
	if l.Low == 0 {
		tries = maxDraws // a port that is free at one address may be taken at another
	}
	for try := 0; ; try++ {
		port := 0
		if l.Low > 0 {
			port = l.Low + try
		}
		open, err := listenAll(ctx, where, port)
		if err == nil {
			return open, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || try == tries-1 {
			return nil, words(err, cfg)
		}
	}
}

// listenAll opens all places at a port. 0 lets the kernel choose one.
func listenAll(ctx context.Context, where []place, port int) (open []net.Listener, err error) {
	for _, p := range where {
		l, err := (&net.ListenConfig{}).Listen(ctx, p.network, net.JoinHostPort(p.host, strconv.Itoa(port)))
		if err != nil && p.spare && !errors.Is(err, syscall.EADDRINUSE) {
			continue // there is no IPv6
		}
		if err != nil {
			for _, l := range open {
				_ = l.Close()
			}
			return nil, err
		}
		open, port = append(open, l), portOf(l)
	}
	return open, nil
}

// words adds advice to the error of a listener.
func words(err error, cfg *config.Config) error {
	var dns *net.DNSError
	l := cfg.Listen
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && l.High > l.Low:
		return fmt.Errorf("cannot listen: all ports from %d to %d are taken: give listen others, or none (%w)", l.Low, l.High, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen: the port is taken: give listen another one, or none (%w)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen: %s is no address of this machine: give listen one that is (%w)", l.Host, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen: the port is root's: give listen one from 1024 (%w)", err)
	case errors.As(err, &dns):
		return fmt.Errorf("cannot listen: the host %s is not known: give listen an address (%w)", l.Host, err)
	}
	return fmt.Errorf("cannot listen: %w", err)
}
