package main

import (
	"cmp"
	"slices"

	"erluv/config"

	"github.com/spf13/pflag"
)

// Two internal flags pass descriptors between processes of one invocation.
const (
	handoverFlag = "handover"
	reportFlag   = "report"
)

// flags defines a flag for each key, and one for the configuration file. Flags without effect are
// hidden. They are accepted, because ping takes every flag of run.
func (c *command) flags(set *pflag.FlagSet, effective func(config.Key) bool) {
	set.SortFlags = false
	set.Var(c.value(config.FileKey, config.FileKey, "file"), config.FileKey,
		"configuration file, or none; ERLUV_CONF (default ~/.erluv.conf)")
	some := false
	for _, key := range config.Keys() {
		usage := key.Meaning
		if key.Default != "" && !key.IsSwitch() {
			usage += " (default " + key.Default + ")"
		}
		flag := set.VarPF(c.value(key.Name, key.Flag(), key.Form), key.Flag(), "", usage)
		if key.IsSwitch() {
			flag.NoOptDefVal = "true"
		}
		flag.Hidden = key.FileOnly || !effective(key)
		some = some || !flag.Hidden
	}
	set.Lookup(config.FileKey).Hidden = !some
	for name, target := range map[string]*string{handoverFlag: &c.handover, reportFlag: &c.report} {
		set.StringVar(target, name, "", "")
		set.Lookup(name).Hidden = true
	}
}

// These functions tell which flags have an effect in a command.
func all(config.Key) bool            { return true }
func connecting(key config.Key) bool { return key.Connects }
func none(config.Key) bool           { return false }
func mapping(key config.Key) bool    { return key.Name == "epmd_port" }

// entering reports whether a flag has an effect on a connection to a node that is the argument.
func entering(key config.Key) bool {
	return key.Connects && key.Name != "sandbox" && !slices.Contains(whichNode, key.Name)
}

// whichNode are the keys that name the nodes to dial.
var whichNode = []string{"node", "nodes", "serve", "discover", "discover_name"}

// A value stores a flag's value where config.Load reads it. Errors come later: pflag's own errors
// would repeat a value that may be a cookie.
type value struct {
	command    *command
	key        string
	flag, form string
}

func (c *command) value(key, flag, form string) *value { return &value{c, key, flag, form} }

func (v *value) Set(s string) error {
	if _, given := v.command.given[v.key]; given {
		v.command.twice = append(v.command.twice, v.flag)
	}
	v.command.given[v.key] = s
	return nil
}

// String returns no default, because the usage already has it.
func (v *value) String() string { return "" }

// Type is the word that --help shows after the flag.
func (v *value) Type() string { return cmp.Or(v.form, "value") }
