package discover

import (
	"context"
	"net"
	"slices"
	"time"
)

// A Finder reports the nodes to dial, and every change. It belongs to the goroutine that
// calls Run.
type Finder struct {
	Nodes    []Target // of a list; they come first, in this order
	Source   Source   // of more nodes; may be none
	Ports    Ports
	Interval time.Duration // from an answer of Source to the next question; > 0

	// Resolver asks the name servers; nil: those of /etc/resolv.conf. A static binary
	// does not ask NSS, so it does not find hosts that only mDNS, LDAP or
	// nss-myhostname know.
	Resolver *net.Resolver

	// Run calls Tell with all targets, each node once, in the order in which they are
	// to be dialled. The first call comes at once if there are Nodes or no Source, and
	// further calls follow each change. When Source fails, Run passes the last known
	// targets and the reason, once for each reason. When Source answers again, Run
	// calls Tell without an error.
	Tell func(targets []Target, err error)
}

// Run asks until ctx ends. Without a Source it calls Tell once and returns.
func (f *Finder) Run(ctx context.Context) {
	if f.Source == (Source{}) {
		f.Tell(f.all(nil), nil)
		return
	}
	if len(f.Nodes) > 0 {
		f.Tell(f.all(nil), nil)
	}
	resolver := f.Resolver
	if resolver == nil {
		resolver = &net.Resolver{PreferGo: true}
	}
	var (
		last    found
		known   bool   // last is an answer
		trouble string // the last reported reason, until the next answer
	)
	for {
		now, err := f.Source.find(ctx, resolver)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			f.Tell(f.all(last.targets), err)
		case err == nil && (!known || trouble != "" || now.sum != last.sum):
			if now.sum != last.sum || !known {
				last, known = now, true
			}
			trouble = ""
			f.Tell(f.all(last.targets), nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.Interval):
		}
	}
}

// all returns the targets of the list, followed by those of the source.
func (f *Finder) all(more []Target) []Target {
	targets := slices.Concat(f.Nodes, more)
	for i, t := range targets {
		targets[i] = f.Ports.apply(t)
	}
	return unique(targets)
}
