package config

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"erluv/discover"
)

// parseNodes parses names with spaces between them, in the form of fromTOML and given.
func parseNodes(v string) ([]string, error) {
	if v == "" {
		return nil, errEmpty
	}
	names := strings.Split(v, " ")
	targets, err := discover.List(names)
	if err == nil && len(targets) < len(names) {
		err = errors.New("has a name twice")
	}
	return names, err
}

func checkDiscover(v string) error {
	if v == "" {
		return errEmpty
	}
	_, err := discover.ParseSource(v, "n@%h")
	return err
}

func checkPattern(v string) error {
	if v == "" {
		return errEmpty
	}
	_, err := discover.ParsePattern(v)
	return err
}

func checkPorts(v, host string) error {
	if v == "" {
		return errEmpty
	}
	_, err := discover.ParsePorts(v, host)
	return err
}

// target finishes the settings about the nodes to dial.
func (l *loader) target(c *Config) {
	l.enter(c)
	names := c.Nodes
	if c.Node != "" {
		names = []string{c.Node}
	}
	var err error
	if c.Targets, err = discover.List(names); err != nil {
		panic("config: " + err.Error()) // each name was checked
	}
	ofDNS := strings.HasPrefix(c.Discover, "dns:") || strings.HasPrefix(c.Discover, "srv:")
	switch {
	case ofDNS && c.DiscoverName == "":
		l.problem("discover is %s from %s, and the names of the nodes are not known: say discover_name, such as %s",
			c.Discover, c.setting("discover").Source, keyNamed("discover_name").Example)
	case c.Discover != "":
		if c.Source, err = discover.ParseSource(c.Discover, discover.Pattern(c.DiscoverName)); err != nil {
			panic("config: " + err.Error())
		}
	}
	if c.PortFromName != "" {
		if c.Ports, err = discover.ParsePorts(c.PortFromName, c.PortFromNameHost); err != nil {
			panic("config: " + err.Error())
		}
	}
	if c.Address != "" && (len(c.Nodes) > 1 || c.Discover != "") {
		l.problem("address from %s is where one node listens, and there are several: leave it out",
			c.setting("address").Source)
	}
	for _, unused := range []struct{ key, without string }{{"discover_name", "discover"}, {"discover_interval", "discover"}, {"port_from_name_host", "port_from_name"}} {
		if c.isSet(unused.key) && !c.isSet(unused.without) {
			l.warn("%s from %s is ignored: there is no %s", unused.key, c.setting(unused.key).Source, unused.without)
		}
	}
	if c.isSet("discover_name") && c.Discover != "" && !ofDNS {
		l.warn("discover_name from %s is ignored: discover is %s, which has whole names", c.setting("discover_name").Source, c.Discover)
	}
}

// aboutEntry removes settings about a node to serve from file and environment, if another node is
// the argument. These are its name, its address, and the name that erluv has there, which may be in
// use.
func (l *loader) aboutEntry(found []candidate) []candidate {
	if l.Entry == "" {
		return found
	}
	served := slices.ContainsFunc(found, func(a candidate) bool { return a.key.Name == "node" && a.value == l.Entry })
	return slices.DeleteFunc(found, func(a candidate) bool {
		switch a.key.Name {
		case "node", "nodes", "serve", "discover", "discover_name", "discover_interval", "name", "listen", "allow_nodes":
			return a.rank != fromArgs
		case "address":
			return a.rank != fromArgs && !served
		}
		return false
	})
}

// enter makes erluv dial the node that is the argument, and no other.
func (l *loader) enter(c *Config) {
	if l.Entry == "" {
		return
	}
	if err := checkNode(l.Entry); err != nil {
		l.problem("%q %v: it takes the name of a node, name@host", l.Entry, err)
		return
	}
	c.Node, c.Nodes, c.Discover = l.Entry, nil, ""
}

// likeHost returns a host whose form the own host must have, or "" if none is known.
func (c *Config) likeHost() string {
	if len(c.Targets) > 0 {
		_, host, _ := strings.Cut(c.Targets[0].Node, "@")
		return host
	}
	kind, name, _ := strings.Cut(c.Discover, ":")
	switch {
	case kind != "" && kind != "file":
		return name
	case c.Listen.Local():
		return "localhost"
	case c.Listen.anywhere():
		// The form of the machine's own name.
		name, _ := c.machine.Hostname() // ownHost reports an error
		return cmp.Or(name, "localhost")
	}
	return c.Listen.Host
}

// dialled returns the first key that names nodes to dial.
func (c *Config) dialled() string {
	switch {
	case c.Node != "":
		return "node"
	case len(c.Nodes) > 0:
		return "nodes"
	case c.Discover != "" && !strings.HasPrefix(c.Discover, "file:"):
		return "discover"
	}
	return "listen"
}
