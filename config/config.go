// Package config is what erluv may be told, and by whom: the table of keys, the
// four places a value can come from, and the checks that a value, and the file
// it stands in, must pass. Everything that shows or takes a setting (flags,
// environment, file, `erluv config`, the tests of the manuals) is made from the
// table in keys.go, so a key that is added there is complete.
//
// It starts nothing, connects to nothing and logs nothing: [Load] returns the
// settings, what it has to warn of, and one [Error] with everything that is
// wrong. cmd/erluv calls it and hands the [Config] to mainproc.
package config

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"time"

	"erluv/discover"
)

// A Config is what all sources together say. The fields up to LogFormat are the
// keys of erluv.conf(5), of the same names, and so are those from Meta to Disks.
type Config struct {
	Node             string // name@host of the node to serve; "" with Nodes, or Discover alone
	Nodes            []string
	Serve            string // ServeFirst or ServeAll
	Discover         string
	DiscoverName     string
	DiscoverInterval time.Duration // > 0
	PortFromName     string
	PortFromNameHost string
	Listen           Listen
	AllowNodes       []string // patterns of names, for MayConnect
	Name             string   // before the @ of the own name; "" has one drawn with Prefix
	Prefix           string
	Host             string // after the @ of the own name; never empty after Check
	Cookie           Secret // never empty after Check
	CookieFile       string // absolute
	Address          string // host:port of the node's listener; "" asks EPMD
	EPMDPort         int

	TLS           bool     // with the nodes of TLSNodes
	TLSNodes      []string // see SpeaksTLS
	TLSCA         string   // absolute, as the paths below; "" names no file
	TLSCert       string
	TLSKey        string // "": in TLSCert
	TLSVerify     bool
	TLSServerName string // "": the host part of the node's name; anyName: any
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

	// Targets are Node or Nodes, in their order; Source and Ports are what the keys of
	// the same purpose say.
	Targets []discover.Target
	Source  discover.Source
	Ports   discover.Ports

	// RunAs is what the child and its workers run as: User and Group when erluv
	// was started by root, else who erluv already is.
	RunAs Identity
	// Allowed are the users of AllowUsers, in their order.
	Allowed []Allowed

	// TLSIgnored are the options of TLSOptfile that have no effect here, after Check.
	TLSIgnored []string

	machine  Machine
	settings []Setting
	hostErr  error // why Host is empty although it is known what to dial
}

// What the keys reconnect, on_disconnect, serve, sandbox, log_format, run and tls take.
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
	SandboxBestEffort = "best-effort" // another word for auto
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
	Home, Shell string // of User; "" when it is not in there
}

// A Secret is a string that no formatting and no logger shows. Only a
// conversion to string gives it away.
type Secret string

const mask = "********"

// String hides the value; %v and slog come here too.
func (Secret) String() string { return mask }

// GoString hides the value from %#v.
func (Secret) GoString() string { return mask }

// MarshalText hides the value from encoders, slog's JSON among them.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// NodeName returns the own node name, name@host. Unless Name is set each call
// draws another: what is drawn once may be taken on the node.
func (c *Config) NodeName() string {
	if c.Name != "" {
		return c.Name + "@" + c.Host
	}
	var random [drawnDigits / 2]byte
	rand.Read(random[:]) // never fails, crypto/rand
	return c.Prefix + hex.EncodeToString(random[:]) + "@" + c.Host
}

// CookieSource says where the cookie is from, for the curious.
func (c *Config) CookieSource() string {
	for _, s := range c.Settings() {
		if s.Name == "cookie" && s.Source != "default" {
			return s.Source
		}
	}
	return c.CookieFile
}
