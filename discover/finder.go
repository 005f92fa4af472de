package discover

import (
	"context"
	"net"
	"slices"
	"time"
)

// A Finder tells which nodes there are to dial, and when that changes. It belongs to the
// goroutine that calls Run.
type Finder struct {
	Nodes    []Target // of a list: they come first, and in this order
	Source   Source   // of more; may be none
	Ports    Ports
	Interval time.Duration // from an answer of Source to the next question; > 0

	// Resolver asks the name servers; nil: those of /etc/resolv.conf. A static binary
	// does not ask NSS: a host that only mDNS, LDAP or nss-myhostname know is not found.
	Resolver *net.Resolver

	// Tell is called by Run with all targets, each node once, in the order in which
	// they are to be dialled: at once, if there are Nodes, or no Source; later
	// whenever they have become others. When Source does not answer it is called with
	// the targets that there were and the reason, and not again while that is the
	// same; when it answers again, without one.
	Tell func(targets []Target, err error)
}

// Run asks until ctx ends; without a Source it returns after it has told once.
func (f *Finder) Run(ctx context.Context) {
	resolver := f.Resolver
	if resolver == nil {
		resolver = &net.Resolver{PreferGo: true}
	}
	if f.Source == (Source{}) {
		f.Tell(f.all(nil), nil)
		return
	}
	if len(f.Nodes) > 0 {
		f.Tell(f.all(nil), nil)
	}
	var (
		last    found
		known   bool   // last is an answer
		trouble string // why it does not answer, as it was told
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

// all is the list, followed by what the source knows.
func (f *Finder) all(more []Target) []Target {
	targets := slices.Concat(f.Nodes, more)
	for i, t := range targets {
		targets[i] = f.Ports.apply(t)
	}
	return unique(targets)
}
