package config

import "strings"

// A Key is one setting. Its Name is the spelling in the file. [Key.Env] and [Key.Flag] are the two
// others.
type Key struct {
	Name     string
	Form     string // the form of a value, a word or two for --help
	Default  string // as on the command line; "": no default
	Unset    string // the behaviour without a value and a default
	Meaning  string // one sentence for --help, without a full stop
	Right    string // the correct values, to end "it takes ..."
	Example  string // such a value, in the form of the file
	FileOnly bool   // the environment and the command line may not set it
	Secret   bool   // never shown
	Connects bool   // ping uses it, which only makes a connection

	kind kind
	slot string // keys of one slot exclude each other: the stronger source wins
	set  func(*Config, string) error
}

// kind is the form of a value in the file.
type kind int

const (
	text   kind = iota // "..."
	number             // 123
	truth              // true or false
	list               // ["...", "..."]; as text: joined by spaces
	tables             // [key.NAME], each a table; as text: JSON
)

// Env returns the name of the key in the environment.
func (k *Key) Env() string { return envPrefix + strings.ToUpper(k.Name) }

// Flag returns the name of the key's flag, without the dashes.
func (k *Key) Flag() string { return strings.ReplaceAll(k.Name, "_", "-") }

// IsSwitch reports whether the flag may have no value, which means true.
func (k *Key) IsSwitch() bool { return k.kind == truth }

const (
	envPrefix   = "ERLUV_"
	drawnDigits = 8 // of a random node name: 32 bits; another is drawn if it is in use
	defaultPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
	aPath       = "a path, absolute or with ~/"
	duration    = "a duration above 0 with its unit, such as 500ms or 5s"
)

// Keys returns the table, in the order of `erluv config` and the manuals.
func Keys() []Key { return keys }

var keys = []Key{
	{
		Name: "node", Form: "name@host", Unset: "(required)", slot: "node",
		Meaning: "the Erlang node to serve",
		Right:   "a node name, name@host", Example: `"app@db1.example.com"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Node = v; return checkNode(v) },
	},
	{
		Name: "nodes", Form: "name@host,...", Unset: "(that of node)", kind: list, slot: "node",
		Meaning: "the nodes to serve, all or one of them; see serve",
		Right:   "a list of node names, name@host, each once", Example: `["app@db1.example.com", "app@db2.example.com"]`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.Nodes, err = parseNodes(v); return err },
	},
	{
		Name: "serve", Form: "first|all", Default: ServeFirst,
		Meaning: "the nodes to serve: the first that accepts, and the next when it goes; or all",
		Right:   "first or all", Example: `"all"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Serve = v; return oneOf(v, ServeFirst, ServeAll) },
	},
	{
		Name: "discover", Form: "dns:name|srv:name|file:path", Unset: "(only node and nodes)",
		Meaning: "source of the names of further nodes",
		Right:   "dns:, srv: or file: and a name or an absolute path", Example: `"file:/etc/erluv/nodes"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Discover = v; return checkDiscover(v) },
	},
	{
		Name: "discover_name", Form: "name@%h", Unset: "(none)",
		Meaning: "names of the nodes on hosts that discover finds in DNS",
		Right:   "a node name with %h in place of the host", Example: `"shop@%h"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.DiscoverName = v; return checkPattern(v) },
	},
	{
		Name: "discover_interval", Form: "duration", Default: "30s",
		Meaning: "interval at which discover looks again",
		Right:   duration, Example: `"30s"`,
		set: func(c *Config, v string) (err error) { c.DiscoverInterval, err = parseDuration(v); return err },
	},
	{
		Name: "port_from_name", Form: "name%d", Unset: "(none)",
		Meaning: "names of nodes that are dialled at the port in the name, without EPMD",
		Right:   "what stands before the @, with %d in place of the port", Example: `"remote_%d"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.PortFromName = v; return checkPorts(v, "localhost") },
	},
	{
		Name: "port_from_name_host", Form: "host", Default: "127.0.0.1",
		Meaning: "the host of such nodes",
		Right:   "a host name or address", Example: `"127.0.0.1"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.PortFromNameHost = v; return checkHost(v) },
	},
	{
		Name: "listen", Form: "off|local|host:port", Default: listenOff,
		Meaning: "where nodes can connect to erluv: nowhere, on the loopback, or at a host, with a port or low-high",
		Right:   "off, local, or a host or address of this machine with a port, a range of ports, or neither", Example: `"0.0.0.0:9100-9110"`,
		set: func(c *Config, v string) (err error) { c.Listen, err = parseListen(v); return err },
	},
	{
		Name: "allow_nodes", Form: "name@host,...", Default: "*", kind: list,
		Meaning: "the nodes that may connect to erluv; * stands for any characters",
		Right:   "a list of node names, name@host, with * in place of what may be anything", Example: `["app*@db1.example.com", "*@10.0.0.*"]`,
		set: func(c *Config, v string) (err error) { c.AllowNodes, err = parsePatterns(v); return err },
	},
	{
		Name: "name", Form: "name", Unset: "(prefix and 8 random hex digits)",
		Meaning: "node name of erluv, without the host",
		Right:   "letters, digits, _ and - (the host goes into host)", Example: `"erluv_db1"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Name = v; return checkName(v) },
	},
	{
		Name: "prefix", Form: "name", Default: "erluv_",
		Meaning: "beginning of a random node name",
		Right:   "letters, digits, _ and -", Example: `"erluv_"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Prefix = v; return checkName(v) },
	},
	{
		Name: "host", Form: "host", Unset: "(as the form of node asks)",
		Meaning: "host part of the node name of erluv",
		Right:   "a host name or address as it stands in node names", Example: `"db1.example.com"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Host = v; return checkHost(v) },
	},
	{
		Name: "cookie", Form: "cookie", Unset: "(that of cookie_file)", Secret: true, slot: "cookie",
		Meaning: "the cookie of the node; use cookie_file instead",
		Right:   "1 to 255 characters from space to ~", Example: `"MONSTER"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Cookie = Secret(v); return checkCookie(v) },
	},
	{
		Name: "cookie_file", Form: "file", Default: "~/.erlang.cookie", slot: "cookie",
		Meaning: "file with the cookie, mode 0400 or 0600 and of this user",
		Right:   aPath, Example: `"~/.erlang.cookie"`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.CookieFile, err = c.machine.absolute(v); return err },
	},
	{
		Name: "address", Form: "host:port", Unset: "(asked of EPMD)",
		Meaning: "where the node listens; erluv then does not ask EPMD",
		Right:   "host:port, the port from 1 to 65535", Example: `"127.0.0.1:9100"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.Address = v; return checkAddress(v) },
	},
	{
		Name: "epmd_port", Form: "port", Default: "4369", kind: number,
		Meaning: "port of the node's EPMD; ERL_EPMD_PORT also sets it",
		Right:   "a port, 1 to 65535", Example: `4369`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.EPMDPort, err = parseInt(v, 1, 65535); return err },
	},
	{
		Name: "tls", Form: "on|off", Default: TLSOff,
		Meaning: "speak the distribution protocol over TLS, as nodes with -proto_dist inet_tls do",
		Right:   "on or off", Example: `"on"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.TLS = v == TLSOn; return oneOf(v, TLSOn, TLSOff) },
	},
	{
		Name: "tls_nodes", Form: "name@host,...", Default: "*", kind: list,
		Meaning: "the nodes that speak TLS, if some do not",
		Right:   "a list of node names, in which * stands for any characters", Example: `["*@db1.example.com"]`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.TLSNodes, err = parsePatterns(v); return err },
	},
	{
		Name: "tls_ca", Form: "file", Unset: "(none)",
		Meaning: "PEM file with the authorities that sign the nodes' certificates",
		Right:   aPath, Example: `"/etc/erluv/ca.pem"`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.TLSCA, err = c.machine.absolute(v); return err },
	},
	{
		Name: "tls_cert", Form: "file", Unset: "(none)",
		Meaning: "PEM file with the certificate of erluv, followed by intermediate ones",
		Right:   aPath, Example: `"/etc/erluv/cert.pem"`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.TLSCert, err = c.machine.absolute(v); return err },
	},
	{
		Name: "tls_key", Form: "file", Unset: "(in the file of tls_cert)",
		Meaning: "PEM file with its private key, readable only by its owner",
		Right:   aPath, Example: `"/etc/erluv/key.pem"`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.TLSKey, err = c.machine.absolute(v); return err },
	},
	{
		Name: "tls_verify", Form: "peer|none", Default: verifyPeer,
		Meaning: "whether the certificate of the node is verified",
		Right:   "peer or none", Example: `"peer"`,
		Connects: true,
		set: func(c *Config, v string) error {
			c.TLSVerify = v == verifyPeer
			return oneOf(v, verifyPeer, verifyNone)
		},
	},
	{
		Name: "tls_server_name", Form: "host", Unset: "(host part of the node's name)",
		Meaning: "the host in the certificate of the node; * for any",
		Right:   "a host name or address, or *", Example: `"db1.example.com"`,
		Connects: true,
		set:      func(c *Config, v string) error { c.TLSServerName = v; return checkHost(v) },
	},
	{
		Name: "tls_optfile", Form: "file", Unset: "(none)",
		Meaning: "the node's ssl_dist_optfile, instead of the keys from tls_ca to tls_server_name",
		Right:   aPath, Example: `"/etc/app/inet_tls.conf"`,
		Connects: true,
		set:      func(c *Config, v string) (err error) { c.TLSOptfile, err = c.machine.absolute(v); return err },
	},
	{
		Name: "user", Form: "user", Default: "nobody",
		Meaning: "user of the programs, when root starts erluv",
		Right:   "the name of a user who is not root", Example: `"nobody"`,
		set: func(c *Config, v string) error { c.User = v; return checkAccount(v) },
	},
	{
		Name: "group", Form: "group", Unset: "(the group of user)",
		Meaning: "group of the programs",
		Right:   "the name of a group that is not root's", Example: `"nogroup"`,
		set: func(c *Config, v string) error { c.Group = v; return checkAccount(v) },
	},
	{
		Name: "die_timeout", Form: "duration", Default: "5s",
		Meaning: "time that erluv waits for respawn after a crash of the child",
		Right:   duration, Example: `"5s"`,
		set: func(c *Config, v string) (err error) { c.DieTimeout, err = parseDuration(v); return err },
	},
	{
		Name: "kill_timeout", Form: "duration", Default: "5s",
		Meaning: "time from the stop signal to SIGKILL",
		Right:   duration, Example: `"5s"`,
		set: func(c *Config, v string) (err error) { c.KillTimeout, err = parseDuration(v); return err },
	},
	{
		Name: "reconnect", Form: "retry|always|exit", Default: ReconnectRetry,
		Meaning: "whether to connect again after the end of a connection; always: also before the first one",
		Right:   "retry, always or exit", Example: `"retry"`,
		set: func(c *Config, v string) error {
			c.Reconnect = v
			return oneOf(v, ReconnectRetry, ReconnectAlways, ReconnectExit)
		},
	},
	{
		Name: "on_disconnect", Form: "stop|keep", Default: OnDisconnectStop,
		Meaning: "whether detached workers stop when the node of their owner goes",
		Right:   "stop or keep", Example: `"keep"`,
		set: func(c *Config, v string) error {
			c.OnDisconnect = v
			return oneOf(v, OnDisconnectStop, OnDisconnectKeep)
		},
	},
	{
		Name: "lost_after", Form: "duration", Default: "5m",
		Meaning: "time that on_disconnect = keep keeps them",
		Right:   duration, Example: `"5m"`,
		set: func(c *Config, v string) (err error) { c.LostAfter, err = parseDuration(v); return err },
	},
	{
		Name: "controller", Form: "name", Default: "erluv",
		Meaning: "registered process that gets the events of erluv",
		Right:   "a registered name of up to 255 characters", Example: `"erluv"`,
		set: func(c *Config, v string) error { c.Controller = v; return checkAtom(v) },
	},
	{
		Name: "max_workers", Form: "number", Default: "10000", kind: number,
		Meaning: "maximum number of workers",
		Right:   "a number from 1 to 1000000", Example: `10000`,
		set: func(c *Config, v string) (err error) { c.MaxWorkers, err = parseInt(v, 1, 1_000_000); return err },
	},
	{
		Name: "history", Form: "number", Default: "256", kind: number,
		Meaning: "number of ends of programs that erluv remembers",
		Right:   "a number from 0 to 4096", Example: `256`,
		set: func(c *Config, v string) (err error) { c.History, err = parseInt(v, 0, 4096); return err },
	},
	{
		Name: "log_ring", Form: "bytes", Default: "65536", kind: number,
		Meaning: "last output of a program that keep => true keeps",
		Right:   "a number of bytes from 4096 to 1048576", Example: `65536`,
		set: func(c *Config, v string) (err error) { c.LogRing, err = parseInt(v, 4096, 1<<20); return err },
	},
	{
		Name: "log_ring_total", Form: "bytes", Default: "67108864", kind: number,
		Meaning: "kept output of all programs together",
		Right:   "a number of bytes from 0 to 1099511627776", Example: `67108864`,
		set: func(c *Config, v string) (err error) { c.LogRingTotal, err = parseInt(v, 0, 1<<40); return err },
	},
	{
		Name: "path", Form: "dir:dir...", Default: defaultPath,
		Meaning: "directories where programs without a slash are looked up",
		Right:   "absolute directories with colons between them", Example: `"/usr/bin:/bin"`,
		set: func(c *Config, v string) (err error) { c.Path, err = parsePath(v); return err },
	},
	{
		Name: "contain", Form: "auto|pidns|cgroup|group", Default: "auto",
		Meaning: "means to end the descendants of a program",
		Right:   "auto, pidns, cgroup or group", Example: `"auto"`,
		set: func(c *Config, v string) error { c.Contain = v; return oneOf(v, "auto", "pidns", "cgroup", "group") },
	},
	{
		Name: "sandbox", Form: "auto|strict|off", Default: "auto",
		Meaning: "confinement of the child and the programs; strict: start only if the kernel has all of it",
		Right:   "auto, strict or off", Example: `"auto"`,
		Connects: true,
		set: func(c *Config, v string) error {
			if c.Sandbox = v; v == SandboxBestEffort {
				c.Sandbox = SandboxAuto
			}
			return oneOf(v, SandboxAuto, SandboxStrict, SandboxOff, SandboxBestEffort)
		},
	},
	{
		Name: "allow_users", Form: "users", Default: "", Unset: "[]", kind: list, FileOnly: true,
		Meaning: "further users that programs may run as",
		Right:   "a list of users, each with the groups if these are to be others", Example: `["www-data", "games:games,audio"]`,
		set: func(c *Config, v string) (err error) { c.AllowUsers, err = parseAllowed(v); return err },
	},
	{
		Name: "control", Form: "on|off|path", Unset: "(on for root, off for others)",
		Meaning: "the control socket, for erluv ps and other commands",
		Right:   "on, off, or an absolute path or one with ~/", Example: `"on"`,
		set: func(c *Config, v string) (err error) { c.Control, err = c.machine.parseControl(v); return err },
	},
	{
		Name: "remote_exec", Form: "bool", Default: "true", kind: truth,
		Meaning: "whether erluv exec may start programs here",
		Right:   "true or false", Example: `false`,
		set: func(c *Config, v string) (err error) { c.RemoteExec, err = parseBool(v); return err },
	},
	{
		Name: "detach", Form: "bool", Default: "false", kind: truth,
		Meaning: "go to the background as a daemon",
		Right:   "true or false", Example: `true`,
		set: func(c *Config, v string) (err error) { c.Detach, err = parseBool(v); return err },
	},
	{
		Name: "log_level", Form: "trace|debug|info|warn|error", Default: "info",
		Meaning: "lowest level of messages that are logged to standard error",
		Right:   "trace, debug, info, warn or error", Example: `"info"`,
		set: func(c *Config, v string) (err error) { c.LogLevel, err = parseLevel(v); return err },
	},
	{
		Name: "log_format", Form: "text|json", Default: FormatText,
		Meaning: "format of the log",
		Right:   "text or json", Example: `"text"`,
		set: func(c *Config, v string) error { c.LogFormat = v; return oneOf(v, FormatText, FormatJSON) },
	},
	{
		Name: "meta", Form: "labels", Unset: "(none)",
		Meaning: "labels of this host, by which control nodes choose hosts",
		Right:   "labels, name;key;key=value, with commas between them", Example: `"core;group=g1;master, meta2;a=1"`,
		set: func(c *Config, v string) error { c.Meta = v; return checkMeta(v) },
	},
	{
		Name: "run", Form: "any|classes", Default: RunAny,
		Meaning: "programs that may run here: any, or only those of the classes",
		Right:   "any or classes", Example: `"any"`,
		set: func(c *Config, v string) error { c.Run = v; return oneOf(v, RunAny, RunClasses) },
	},
	{
		Name: "class", Form: "tables", Unset: "(none)", kind: tables, FileOnly: true,
		Meaning: "programs that this host offers, a table [class.NAME] for each",
		Right:   "tables [class.NAME] with " + classRight, Example: `{ backup = { command = ["/usr/bin/rsync", "-a"], args = ["/srv/[a-z]+"], max = 2 } }`,
		set: func(c *Config, v string) (err error) { c.Classes, err = parseClasses(v); return err },
	},
	{
		Name: "max_kill_timeout", Form: "duration", Unset: "(none)",
		Meaning: "the longest kill_timeout of a program; a longer one is cut",
		Right:   duration, Example: `"30s"`,
		set: func(c *Config, v string) (err error) { c.MaxKillTimeout, err = parseDuration(v); return err },
	},
	{
		Name: "limits", Form: "memory=bytes,pids=n,cpu=percent", Unset: "(none)", kind: list,
		Meaning: "limits of each program; a request for more is refused",
		Right:   "a list of memory=BYTES, pids=N and cpu=PERCENT, BYTES with K, M, G or T", Example: `["memory=2G", "pids=200", "cpu=150"]`,
		set: func(c *Config, v string) (err error) { c.Limits, err = parseLimits(v); return err },
	},
	{
		Name: "disks", Form: "path,...", Default: "/", kind: list,
		Meaning: "paths of the file systems whose space info reports",
		Right:   "a list of absolute paths, each once", Example: `["/"]`,
		set: func(c *Config, v string) (err error) { c.Disks, err = parseDisks(v); return err },
	},
}

// keyNamed returns the key that the file calls name, or nil.
func keyNamed(name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	return nil
}
