// Package config is the configuration of erluv: the table of keys, the four sources of values, and
// the checks of values and of their files. Everything that shows or accepts a setting is made from
// the table in keys.go: flags, environment, file, `erluv config`, the tests of the manuals. So a
// key that is added there is complete.
//
//	config.go    Config: all settings; secrets
//	keys.go      the table of keys
//	load.go      Load: the sources, and one error for all problems
//	merge.go     which source wins, and what it shadows
//	finish.go    what needs several values; Check
//	file.go      the file, in TOML
//	trust.go     files that only certain users can have changed
//	values.go    values of one key
//	suggest.go   the key that a misspelt name may mean
//	machine.go   the machine, and the own host
//	identity.go  users and groups
//	allow.go     allow_users
//	nodes.go     which nodes are dialled
//	listen.go    where nodes may connect
//	control.go   the control socket
//	cookie.go    the file of the cookie
//	tls.go       TLS with nodes
//	optfile.go   OTP's ssl_dist_optfile
//	caps.go      limits of programs, and disks
//	class.go     programs that the host offers
//
// It starts nothing, connects to nothing and logs nothing. [Load] returns the settings, the
// warnings, and one [Error] with all problems. cmd/erluv calls it and passes the [Config] to
// mainproc.
package config

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"time"

	"erluv/discover"
)

// A Config has the settings from all sources. The fields up to LogFormat are the keys of
// erluv.conf(5) with the same names, and so are those from Meta to Disks.
type Config struct {
	Node             string // name@host of the node to serve; "" with Nodes, or with Discover only
	Nodes            []string
	Serve            string // ServeFirst or ServeAll
	Discover         string
	DiscoverName     string
	DiscoverInterval time.Duration // > 0
	PortFromName     string
	PortFromNameHost string
	Listen           Listen
	AllowNodes       []string // patterns of names, for MayConnect
	Name             string   // before the @ of the own name; "": a random name after Prefix
	Prefix           string
	Host             string // after the @ of the own name; never empty after Check
	Cookie           Secret // never empty after Check
	CookieFile       string // absolute
	Address          string // host:port of the node's listener; "": ask EPMD
	EPMDPort         int

	TLS           bool     // with the nodes of TLSNodes
	TLSNodes      []string // see SpeaksTLS
	TLSCA         string   // absolute, as the paths below; "" names no file
	TLSCert       string
	TLSKey        string // "": in TLSCert
	TLSVerify     bool
	TLSServerName string // "": the host part of the node's name; or anyName
	TLSOptfile    string // instead of the four keys before it; "" with any of these

	User  string
	Group string // "" is the group of User

	DieTimeout   time.Duration // > 0
	KillTimeout  time.Duration // > 0
	Reconnect    string        // ReconnectRetry, ReconnectAlways or ReconnectExit
	OnDisconnect string        // OnDisconnectStop or OnDisconnectKeep
	LostAfter    time.Duration // > 0
	Controller   string        // registered name on the node
	MaxWorkers   int           // 1 to 1,000,000
	History      int           // 0 to 4,096
	LogRing      int           // bytes, 4 KiB to 1 MiB
	LogRingTotal int           // bytes, 0 to 1 TiB
	Path         []string      // absolute directories, at least one
	Contain      string        // "auto", "pidns", "cgroup" or "group"
	Sandbox      string        // SandboxAuto, SandboxStrict or SandboxOff
	AllowUsers   []string
	Control      Control
	Detach       bool
	RemoteExec   bool
	LogLevel     slog.Level
	LogFormat    string // FormatText or FormatJSON

	Meta           string // label.Parse reads it
	Run            string // RunAny or RunClasses
	Classes        []Class
	MaxKillTimeout time.Duration // 0: none
	Limits         Limits        // of each program; 0: none
	Disks          []string      // absolute paths, at least one

	// Targets are Node or Nodes, in their order. Source and Ports are the values of the keys for
	// discovery and ports.
	Targets []discover.Target
	Source  discover.Source
	Ports   discover.Ports

	// RunAs is the user of the child and its workers: User and Group if root has started erluv, or
	// else erluv's own user.
	RunAs Identity
	// Allowed are the users of AllowUsers, in their order.
	Allowed []Allowed

	// TLSIgnored are the options of TLSOptfile that have no effect here, after Check.
	TLSIgnored []string

	machine  Machine
	settings []Setting
	hostErr  error // why Host is empty although there are nodes to dial
}

// The values of the keys reconnect, on_disconnect, serve, sandbox, log_format, run and tls.
const (
	ReconnectRetry    = "retry"
	ReconnectAlways   = "always"
	ReconnectExit     = "exit"
	OnDisconnectStop  = "stop"
	OnDisconnectKeep  = "keep"
	ServeFirst        = "first"
	ServeAll          = "all"
	SandboxAuto       = "auto"
	SandboxStrict     = "strict"
	SandboxBestEffort = "best-effort" // the same as auto
	SandboxOff        = "off"
	FormatText        = "text"
	FormatJSON        = "json"
	RunAny            = "any"
	RunClasses        = "classes"
	TLSOff            = "off"
	TLSOn             = "on"
)

// An Identity is a user and a group of the user database.
type Identity struct {
	User, Group string
	UID, GID    int
	Home, Shell string // of User; "" if the database does not have it
}

// A Secret is a string that no formatting and no logger shows. Only a conversion to string reveals
// it.
type Secret string

const mask = "********"

// String hides the value; %v and slog come here too.
func (Secret) String() string { return mask }

// GoString hides the value from %#v.
func (Secret) GoString() string { return mask }

// MarshalText hides the value from encoders, slog's JSON among them.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// NodeName returns the own node name, name@host. Unless Name is set, each call returns another
// random name, since a name may be in use on the node.
func (c *Config) NodeName() string {
	if c.Name != "" {
		return c.Name + "@" + c.Host
	}
	var random [drawnDigits / 2]byte
	rand.Read(random[:]) // never fails, crypto/rand
	return c.Prefix + hex.EncodeToString(random[:]) + "@" + c.Host
}

// CookieSource returns where the cookie comes from, for information.
func (c *Config) CookieSource() string {
	for _, s := range c.Settings() {
		if s.Name == "cookie" && s.Source != "default" {
			return s.Source
		}
	}
	return c.CookieFile
}
