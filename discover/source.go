package discover

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"
)

// askBound is the time for one answer of a source, all name servers together.
const askBound = 10 * time.Second

// A Source names nodes: a domain of DNS or a file. The zero value is none.
type Source struct {
	kind    string // dns, srv or file
	name    string // of the domain or the file
	pattern Pattern
}

// ParseSource checks dns:NAME, srv:NAME or file:PATH. The pattern makes node names from the
// hosts of DNS; a file contains whole names.
func ParseSource(source string, pattern Pattern) (Source, error) {
	kind, name, _ := strings.Cut(source, ":")
	s := Source{kind, name, pattern}
	switch kind {
	case "dns", "srv":
		if !visible(name) || len(name) > 253 {
			return Source{}, fmt.Errorf("%.80q names no domain", source)
		}
		if pattern == "" {
			return Source{}, fmt.Errorf("%.80q gives hosts, and there is no pattern for the names of their nodes, as shop@%%h", source)
		}
	case "file":
		if !strings.HasPrefix(name, "/") {
			return Source{}, fmt.Errorf("%.80q has no path that begins with a slash", source)
		}
	default:
		return Source{}, fmt.Errorf("%.80q is none of dns:NAME, srv:NAME and file:PATH", source)
	}
	return s, nil
}

func (s Source) String() string { return s.kind + ":" + s.name }

// found is the answer of a source.
type found struct {
	targets []Target // in the order in which they are to be dialled
	sum     string   // equal for equal answers, in any order of the targets
}

// find asks the source.
func (s Source) find(ctx context.Context, resolver *net.Resolver) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	var (
		targets []Target
		lines   []string
		err     error
	)
	switch s.kind {
	case "dns":
		targets, err = s.addresses(ctx, resolver)
	case "srv":
		targets, lines, err = s.services(ctx, resolver)
	case "file":
		targets, err = readFile(s.name)
	}
	if err != nil {
		return found{}, fmt.Errorf("cannot find nodes by %v: %w", s, err)
	}
	if lines == nil {
		for _, t := range targets {
			lines = append(lines, fmt.Sprint(t))
		}
		// Otherwise all erluvs of a fleet would dial the same node.
		rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	}
	slices.Sort(lines)
	return found{unique(targets), strings.Join(lines, "\n")}, nil
}

// addresses asks for the A and AAAA records of a name. The node's name has the address.
func (s Source) addresses(ctx context.Context, resolver *net.Resolver) ([]Target, error) {
	addresses, err := resolver.LookupNetIP(ctx, "ip", s.name)
	if err != nil {
		return nil, words(err)
	}
	if len(addresses) > maxTargets {
		return nil, tooMany(len(addresses))
	}
	targets := make([]Target, len(addresses))
	for i, a := range addresses {
		if targets[i], err = s.pattern.node(a.Unmap().String()); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// services asks for the SRV records of a name. Package net sorts them by priority, and
// shuffles those of one priority by weight. The lines hold the whole records.
func (s Source) services(ctx context.Context, resolver *net.Resolver) (targets []Target, lines []string, err error) {
	_, records, err := resolver.LookupSRV(ctx, "", "", s.name)
	if err != nil {
		return nil, nil, words(err)
	}
	if len(records) > maxTargets {
		return nil, nil, tooMany(len(records))
	}
	for _, r := range records {
		host := strings.TrimSuffix(r.Target, ".")
		if host == "" {
			continue // "there is no such service" (RFC 2782)
		}
		t, err := s.pattern.node(host)
		if err != nil {
			return nil, nil, err
		}
		if t.Port = r.Port; t.Port == 0 {
			return nil, nil, fmt.Errorf("port 0 of %s", host)
		}
		targets = append(targets, t)
		lines = append(lines, fmt.Sprint(*r))
	}
	if len(targets) == 0 {
		return nil, nil, errors.New("the name server says that there is no such service")
	}
	return targets, lines, nil
}

func tooMany(n int) error {
	return fmt.Errorf("there are %d nodes, more than %d", n, maxTargets)
}

// words explains the failure of a look-up. It gives equal text for equal failures: that of
// package net contains the ports of its sockets.
func words(err error) error {
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return err
	}
	switch {
	case dns.IsNotFound:
		return errors.New("the name servers know no such name")
	case dns.IsTimeout:
		return errors.New("no name server answers in time")
	}
	server := dns.Server
	if server == "" {
		server = "of this machine"
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return fmt.Errorf("the name server %s: %w", server, op.Err)
	}
	return fmt.Errorf("the name server %s: %s", server, dns.Err)
}
