package discover

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// maxTargets bounds the nodes of a list or a source. A cluster has fewer: each
	// node is connected to all others.
	maxTargets = 1000

	maxNodeName = 255 // characters of an atom
)

// A Target is a node to dial.
type Target struct {
	Node string // its name, name@host
	Host string // host name or address to dial, mostly the part of Node behind the @
	Port uint16 // of its listener; 0: to be asked of the EPMD at Host
}

// List returns the targets of a list of node names, in the order of the list.
func List(names []string) ([]Target, error) {
	if len(names) > maxTargets {
		return nil, fmt.Errorf("names %d nodes, more than %d", len(names), maxTargets)
	}
	targets := make([]Target, len(names))
	for i, name := range names {
		t, err := parseNode(name)
		if err != nil {
			return nil, fmt.Errorf("%.80q %w", name, err)
		}
		targets[i] = t
	}
	return unique(targets), nil
}

// parseNode accepts the names that erl accepts for -sname and -name, with a host.
func parseNode(name string) (Target, error) {
	alive, host, found := strings.Cut(name, "@")
	switch {
	case !found:
		return Target{}, errors.New("has no @host")
	case alive == "" || strings.Trim(alive, aliveChars) != "":
		return Target{}, errors.New("has no legal name before the @")
	case !visible(host):
		return Target{}, errors.New("has no legal host after the @")
	case len(name) > maxNodeName:
		return Target{}, fmt.Errorf("is longer than %d characters", maxNodeName)
	}
	return Target{Node: name, Host: host}, nil
}

// aliveChars are the characters that net_kernel accepts before the @ (valid_name_head).
const aliveChars = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-"

// visible reports whether a host is legal: visible ASCII, without a second @, a slash,
// a backslash or a quotation mark.
func visible(host string) bool {
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`@/\"'`, r)
	})
}

// unique keeps the first target of each node.
func unique(targets []Target) []Target {
	seen := make(map[string]bool, len(targets))
	kept := targets[:0]
	for _, t := range targets {
		if !seen[t.Node] {
			seen[t.Node] = true
			kept = append(kept, t)
		}
	}
	return kept
}

// A Pattern makes the names of nodes from their hosts: shop@%h.
type Pattern string

// ParsePattern checks a pattern, which has one %h, behind the @.
func ParsePattern(pattern string) (Pattern, error) {
	_, host, _ := strings.Cut(pattern, "@")
	if strings.Count(pattern, "%") != 1 || !strings.Contains(host, "%h") {
		return "", fmt.Errorf("%.80q has not one %%h, which stands for the host, behind an @: as in shop@%%h", pattern)
	}
	if _, err := Pattern(pattern).node("h"); err != nil {
		return "", err
	}
	return Pattern(pattern), nil
}

func (p Pattern) node(host string) (Target, error) {
	name := strings.Replace(string(p), "%h", host, 1)
	t, err := parseNode(name)
	if err != nil {
		return Target{}, fmt.Errorf("%.80q %w", name, err)
	}
	t.Host = host
	return t, nil
}

// Ports is a pattern for nodes whose names contain the port of their listener: remote_%d.
// The zero value matches no node.
type Ports struct{ before, behind, host string }

// ParsePorts checks a pattern for the part of a node's name before the @, with one %d, and
// the host at which such nodes listen.
func ParsePorts(pattern, host string) (Ports, error) {
	before, behind, found := strings.Cut(pattern, "%d")
	if !found || strings.Trim(before+behind, aliveChars) != "" {
		return Ports{}, fmt.Errorf("%.80q is not what stands before the @ of a name, with one %%d for the port: as in remote_%%d", pattern)
	}
	if !visible(host) {
		return Ports{}, fmt.Errorf("%.80q is no host", host)
	}
	return Ports{before, behind, host}, nil
}

// apply sets host and port of a target whose name matches and which has no port yet.
func (p Ports) apply(t Target) Target {
	alive, _, _ := strings.Cut(t.Node, "@")
	digits, found := strings.CutPrefix(alive, p.before)
	digits, found2 := strings.CutSuffix(digits, p.behind)
	if p.host == "" || t.Port != 0 || !found || !found2 {
		return t
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 || strconv.FormatUint(port, 10) != digits {
		return t
	}
	t.Host, t.Port = p.host, uint16(port)
	return t
}
