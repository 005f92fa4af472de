package config

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Listen is where nodes may connect to erluv. The zero Listen means nowhere.
type Listen struct {
	Host      string // ListenLocal is the loopback; "": nowhere
	Low, High int    // the ports to try; 0, 0: any
}

// ListenLocal is the Host for listening only on the loopback.
const ListenLocal = "local"

const listenOff = "off"

// On reports whether nodes may connect at all.
func (l Listen) On() bool { return l.Host != "" }

// Local reports whether only nodes of this machine may connect.
func (l Listen) Local() bool { return l.Host == ListenLocal }

// anywhere reports whether Host means all addresses of this machine.
func (l Listen) anywhere() bool {
	ip := net.ParseIP(l.Host)
	return ip != nil && ip.IsUnspecified()
}

func parseListen(v string) (l Listen, err error) {
	switch {
	case v == "":
		return l, errEmpty
	case v == listenOff:
		return l, nil
	}
	host, ports := v, ""
	if net.ParseIP(v) == nil && strings.Contains(v, ":") {
		if host, ports, err = net.SplitHostPort(v); err != nil || ports == "" {
			return l, errors.New("is not host:port")
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == listenOff || checkHost(host) != nil {
		return l, errors.New("has no host")
	}
	if ports == "" {
		return Listen{Host: host}, nil
	}
	low, high, isRange := strings.Cut(ports, "-")
	if !isRange {
		high = low
	}
	l.Host = host
	if l.Low, err = parseInt(low, 1, 65535); err == nil {
		l.High, err = parseInt(high, 1, 65535)
	}
	if err != nil {
		return Listen{}, fmt.Errorf("has a port that %w", err)
	}
	if l.Low > l.High {
		return Listen{}, errors.New("has a range of ports that ends before it begins")
	}
	return l, nil
}

// parsePatterns parses patterns of names with spaces between them.
func parsePatterns(v string) ([]string, error) {
	if v == "" {
		return nil, errEmpty
	}
	list := strings.Split(v, " ")
	for _, p := range list {
		switch at := strings.Count(p, "@"); {
		case p == "*":
		case at != 1:
			return nil, fmt.Errorf("has %q in it, which is no name@host", p)
		case strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }):
			return nil, fmt.Errorf("has %q in it, with characters that no node's name has", p)
		}
		if len(p) > maxAtom {
			return nil, fmt.Errorf("has a name in it that %w", errTooLong)
		}
	}
	return list, nil
}

// MayConnect reports whether allow_nodes has the name of a node.
func (c *Config) MayConnect(name string) bool {
	for _, p := range c.AllowNodes {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// matches reports whether a name matches the pattern, in which each * stands for any characters.
func matches(pattern, name string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	if !more {
		return name == pattern
	}
	name, ok := strings.CutPrefix(name, first)
	for ok {
		var part string
		if part, rest, more = strings.Cut(rest, "*"); !more {
			return strings.HasSuffix(name, part)
		}
		_, name, ok = strings.Cut(name, part)
	}
	return false
}
