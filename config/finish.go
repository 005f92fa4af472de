package config

import (
	"errors"
	"fmt"
	"path/filepath"
)

// finish handles everything that needs more than one value: accounts, the own host, and values
// without effect beside others.
func (l *loader) finish(c *Config) {
	c.resolve(func(key string, err error) {
		l.problems = append(l.problems, c.setting(key).used.problem(err))
	})
	if err := c.settleClasses(); err != nil {
		l.problems = append(l.problems, c.setting("class").used.problem(err))
	}
	if err := c.settleCaps(); err != nil {
		l.problems = append(l.problems, c.setting("kill_timeout").used.problem(err))
	}
	for _, key := range []string{"cookie_file", "tls_ca", "tls_cert", "tls_key", "tls_optfile"} {
		if used := c.setting(key).used; used.rank == fromFile && used.value[0] != '~' && !filepath.IsAbs(used.value) {
			l.problems = append(l.problems, used.problem(errors.New("is relative, to a directory that is another each time")))
		}
	}
	l.tls(c)
	l.target(c)
	if like := c.likeHost(); like != "" && c.Host == "" {
		c.Host, c.hostErr = c.machine.ownHost(like)
		if s := c.setting("host"); c.hostErr == nil {
			s.Value, s.Source = c.Host, "the form of "+c.dialled()
		}
	} else if c.Discover != "" && c.Host == "" {
		c.hostErr = errors.New("the form of the own name is not known before discover has found a node")
	}
	for _, t := range c.Targets {
		if c.Name+"@"+c.Host == t.Node {
			l.problems = append(l.problems, c.setting("name").used.problem(errors.New("is the name of the node itself")))
		}
	}
	if n := len(c.NodeName()); c.Host != "" && n > maxAtom {
		l.problem("the own node name is %d characters long, and %d are allowed: shorten name, prefix or host", n, maxAtom)
	}
	if s := c.setting("group"); c.machine.UID == 0 && c.Group == "" {
		s.Value, s.Source = c.RunAs.Group, "the group of user"
	}
	l.control(c)
	l.ineffective(c)
	if c.machine.UID != 0 { // only root can change the user
		c.force("user", c.RunAs.User)
		c.force("group", c.RunAs.Group)
	}
}

// force sets a setting to the identity with which erluv itself was started.
func (c *Config) force(name, value string) {
	s := c.setting(name)
	if s.Value == value && c.isSet(name) {
		return
	}
	if c.isSet(name) {
		s.Shadows = append([]string{s.used.shadow(s.used.key)}, s.Shadows...)
	}
	s.Value, s.Source = value, "started as"
}

// ineffective warns of settings that have no effect.
func (l *loader) ineffective(c *Config) {
	if c.Name != "" && c.isSet("prefix") {
		l.warn("prefix from %s is ignored: name is set by %s", c.setting("prefix").Source, c.setting("name").Source)
	}
	if c.Address != "" && c.isSet("epmd_port") {
		l.warn("epmd_port from %s is ignored: address is set by %s", c.setting("epmd_port").Source, c.setting("address").Source)
	}
	if c.isSet("allow_nodes") && !c.Listen.On() {
		l.warn("allow_nodes from %s is ignored: listen is off", c.setting("allow_nodes").Source)
	}
	if c.Run == RunClasses && len(c.Classes) == 0 {
		l.warn("run from %s is classes, and there is no class: nothing can be started here", c.setting("run").Source)
	}
	if c.machine.UID == 0 {
		return
	}
	if c.isSet("user") && c.User != c.RunAs.User {
		l.warn("user from %s is ignored: only root can become another, and this is %s", c.setting("user").Source, c.RunAs.User)
	}
	if c.isSet("group") && c.Group != c.RunAs.Group {
		l.warn("group from %s is ignored: only root can become another, and this is %s", c.setting("group").Source, c.RunAs.Group)
	}
}

// Check checks the requirements of a connection: the node, an own host, the cookie, which it reads
// from its file, and the files for TLS. Its error is an [Error].
func (c *Config) Check() error {
	var problems []string
	if len(c.Targets) == 0 && c.Discover == "" && !c.Listen.On() {
		problems = append(problems, "no node is named: --node name@host, "+keyNamed("node").Env()+
			" or node in the configuration file; or have nodes connect, by listen")
	} else if c.hostErr != nil {
		problems = append(problems, fmt.Sprintf("%v: name one by --host, %s or host in the configuration file",
			c.hostErr, keyNamed("host").Env()))
	}
	switch {
	case c.Cookie != "":
	case c.CookieFile == "":
		problems = append(problems, "there is no cookie, and no home directory with one: name a file by --cookie-file, "+
			keyNamed("cookie_file").Env()+" or cookie_file in the configuration file")
	default:
		cookie, err := readCookie(c.CookieFile, c.machine.owners())
		if err != nil {
			problems = append(problems, "cookie_file: "+err.Error())
		}
		c.Cookie = cookie
	}
	if err := c.checkTLS(); err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return &Error{problems}
	}
	return nil
}

// Settings returns every setting, with its source and the values that it shadows. The first one is
// the choice of the file.
func (c *Config) Settings() []Setting { return c.settings }

func (c *Config) setting(name string) *Setting {
	for i := range c.settings {
		if c.settings[i].Name == name {
			return &c.settings[i]
		}
	}
	panic("config: no key " + name)
}

func (c *Config) isSet(name string) bool { return c.setting(name).used.rank != fromDefault }
