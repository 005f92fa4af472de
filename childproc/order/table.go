package order

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"erluv/ipc"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// Request is one kind of request, or a set of them.
type Request uint8

// The requests that have options.
const (
	ForSpawn Request = 1 << iota
	ForRun
	ForWatch
	ForPut

	forBoth = ForSpawn | ForRun
)

// Option is a row of the table.
type Option struct {
	Name    string
	For     Request
	Type    string // as in erluv-protocol(7) behind "Name => "
	Default string // as in erluv-protocol(7) behind "Default: "

	// take reads a value and stores it. The error says which value would be right.
	take func(r *reading, v etf.Term) error
}

// Table has all options, in the order of erluv-protocol(7).
var Table = []Option{
	{"owner", ForSpawn | ForWatch, "pid() | none", "the caller", func(r *reading, v etf.Term) error { return r.owner(v) }},
	{"link", ForSpawn | ForWatch, "boolean()", "true", func(r *reading, v etf.Term) error { return toBool(&r.p.Link, v) }},
	{"detached", ForSpawn | ForWatch, "boolean()", "false", func(r *reading, v etf.Term) error { return toBool(&r.p.Detached, v) }},
	{"tree", forBoth, "kill | wait | leave", "kill", func(r *reading, v etf.Term) error { return toTree(&r.o.Spec.Tree, v) }},
	{"env", forBoth, "#{Name => Value | false}", "#{}", func(r *reading, v etf.Term) error { return toEnv(&r.o.env, v) }},
	{"path", forBoth, "Directories", "the PATH of env", func(r *reading, v etf.Term) error { return toSearch(&r.o.Spec.Path, v) }},
	{"inherit", forBoth, "[Name]", "[]", func(r *reading, v etf.Term) error { return toInherit(&r.o.inherit, v) }},
	{"login", forBoth, "boolean()", "false", func(r *reading, v etf.Term) error { return toBool(&r.o.login, v) }},
	{"user", forBoth | ForPut, "User", "those of erluv", func(r *reading, v etf.Term) error { return toAccount(&r.o.whom.user, v) }},
	{"group", forBoth, "Group", "those of erluv", func(r *reading, v etf.Term) error { return toAccount(&r.o.whom.group, v) }},
	{"groups", forBoth, "[Group]", "those of erluv", func(r *reading, v etf.Term) error { return toGroups(&r.o.whom, v) }},
	{"cd", forBoth, "Path", "/", func(r *reading, v etf.Term) error { return toDir(&r.o.Spec.Dir, v) }},

	{"stdin", ForSpawn, "pipe | null | {file, Path}", "pipe", func(r *reading, v etf.Term) error { return r.stdin(v) }},
	{"stdout", forBoth, "owner | {pid, Pid} | [...] | null | {file, ...}", "owner", func(r *reading, v etf.Term) error { return r.output("stdout", v) }},
	{"stderr", forBoth, "owner | {pid, Pid} | [...] | null | {file, ...} | stdout", "owner", func(r *reading, v etf.Term) error { return r.output("stderr", v) }},
	{"pty", forBoth, "boolean() | #{rows, cols, reopen, Mode => Value}", "false", func(r *reading, v etf.Term) error { return toPty(&r.o.Spec.Terminal, v) }},
	{"fds", forBoth, "#{N => What}", "#{}", func(r *reading, v etf.Term) error { return r.fds(v) }},
	{"packet", ForSpawn, "raw | line | {line, Max} | lines | {lines, Max} | 1 | 2 | 4", "raw", func(r *reading, v etf.Term) error { return toPacket(&r.o.Packet, v) }},
	{"keep", ForSpawn, "boolean() | Bytes", "false", func(r *reading, v etf.Term) error { return toKeep(&r.o.Keep, v) }},
	{"flow", ForSpawn, "auto | {active, true | once | false | N}", "auto", func(r *reading, v etf.Term) error { return toFlow(&r.o.Active, v) }},

	{"nice", forBoth, "-20..19", "that of erluv", func(r *reading, v etf.Term) error { return toNice(&r.o.Spec.Attributes, v) }},
	{"umask", forBoth, "0..8#777", "8#022", func(r *reading, v etf.Term) error { return toUmask(&r.o.Spec.Attributes.Umask, v) }},
	{"rlimits", forBoth, "#{Name => Limit | {Soft, Hard}}", "#{}", func(r *reading, v etf.Term) error { return toRlimits(&r.o.Spec.Attributes, v) }},
	{"cpus", forBoth, "[N]", "those of erluv", func(r *reading, v etf.Term) error { return toCPUs(&r.o.Spec.Attributes, v) }},
	{"oom_score_adj", forBoth, "-1000..1000", "that of erluv", func(r *reading, v etf.Term) error { return toOOM(&r.o.Spec.Attributes, v) }},
	{"limits", forBoth, "#{Limit => N}", "#{}", func(r *reading, v etf.Term) error { return toLimits(&r.o.Spec.Attributes.Limits, v) }},
	{"sandbox", forBoth, "#{Key => Value}", "#{}", func(r *reading, v etf.Term) error { return toSandbox(&r.o.Spec.Attributes.Confine, v) }},
	{"allow", forBoth, "[Name]", "[]", func(r *reading, v etf.Term) error { return toAllow(&r.o.Spec.Attributes.Confine, v) }},
	{"no_new_privs", forBoth, "true", "true", func(_ *reading, v etf.Term) error { return noNewPrivs(v) }},
	{"setsid", forBoth, "boolean()", "true", func(r *reading, v etf.Term) error { return toNot(&r.o.Spec.Attributes.NoSession, v) }},

	{"kill_signal", forBoth, "Signal", "sigterm", func(r *reading, v etf.Term) error { return toSignal(&r.o.Spec.KillSignal, v) }},
	{"kill_timeout", forBoth, "Milliseconds", "kill_timeout of erluv.conf(5)", func(r *reading, v etf.Term) error { return toMillis(&r.o.Spec.KillTimeout, v) }},
	{"stop_sequence", forBoth, "[Step]", "kill_signal alone", func(r *reading, v etf.Term) error { return toSteps(&r.o.Spec.StopSteps, v) }},
	{"timeout", forBoth, "Milliseconds | infinity", "infinity", func(r *reading, v etf.Term) error { return toTimeout(&r.o.Spec.Timeout, v) }},
	{"idle_timeout", forBoth, "Milliseconds | infinity", "infinity", func(r *reading, v etf.Term) error { return toTimeout(&r.o.Spec.IdleTimeout, v) }},
	{"ready", ForSpawn, "{tcp, Port} | {line, RegExp} | {file, Path} | notify", "none", func(r *reading, v etf.Term) error { return toReady(&r.o.Ready, v) }},
	{"ready_timeout", ForSpawn, "Milliseconds | infinity", "30000", func(r *reading, v etf.Term) error { return toTimeout(&r.o.Ready.Timeout, v) }},
	{"ready_reply", ForSpawn, "call | message", "call", func(r *reading, v etf.Term) error { return toReadyReply(&r.o.Ready, v) }},
	{"watchdog", ForSpawn, "Milliseconds | infinity", "infinity", func(r *reading, v etf.Term) error { return toTimeout(&r.o.Ready.Watchdog, v) }},
	{"restart", ForSpawn, "temporary | transient | permanent", "temporary", func(r *reading, v etf.Term) error { return toRestart(&r.o.Restart.When, v) }},
	{"max_restarts", ForSpawn, "{N, Milliseconds}", "{5, 10000}", func(r *reading, v etf.Term) error { return toMaxRestarts(&r.o.Restart, v) }},
	{"backoff", ForSpawn, "{From, To}", "{100, 30000}", func(r *reading, v etf.Term) error { return toBackoff(&r.o.Restart, v) }},
	{"name", ForSpawn | ForWatch, "atom()", "none", func(r *reading, v etf.Term) error { return toName(&r.p.Name, v) }},
	{"id", ForSpawn, "binary() | atom()", "none", func(r *reading, v etf.Term) error { return toID(&r.o.ID, v) }},
	{"proxy", ForSpawn, "{Module, Function, Args}", "none", func(r *reading, v etf.Term) error { return toProxy(&r.o.Proxy, v) }},
	{"input", ForRun, "iodata()", "none", func(r *reading, v etf.Term) error { return toInput(&r.o.Input, v) }},
	{"max_output", ForRun, "Bytes", "16777216", func(r *reading, v etf.Term) error { return toMaxOutput(&r.o.MaxOutput, v) }},

	{"recursive", ForWatch, "boolean()", "false", func(r *reading, v etf.Term) error { return toBool(&r.w.Recursive, v) }},
	{"events", ForWatch, "[created | modified | closed | attrib | renamed | deleted]", "all but closed", func(r *reading, v etf.Term) error { return toEvents(&r.w.Events, v) }},

	{"mode", ForPut, "0..8#777", "8#644", func(r *reading, v etf.Term) error { return toMode(&r.put.Mode, v) }},
	{"mkdir", ForPut, "boolean()", "false", func(r *reading, v etf.Term) error { return toBool(&r.put.Mkdir, v) }},
	{"size", ForPut, "Bytes", "not known", func(r *reading, v etf.Term) error { return toSize(&r.put.Size, v) }},
}

// rows is the table by name.
var rows = func() map[string]*Option {
	rows := make(map[string]*Option)
	for i := range Table {
		rows[Table[i].Name] = &Table[i]
	}
	return rows
}()

// rowOf returns an option of a request. For spawn and run, the error tells whether it is an option
// of the other.
func rowOf(key etf.Atom, request Request) (*Option, error) {
	row := rows[string(key)]
	switch {
	case row != nil && row.For&request != 0:
		return row, nil
	case row == nil || request&forBoth == 0 || row.For&forBoth == 0:
		return nil, errors.New("there is no such option")
	case request == ForSpawn:
		return nil, errors.New("is for run only")
	case key == "stdin":
		return nil, errors.New("is not for run: give it input")
	}
	return nil, errors.New("is not for run, which answers once, when its program has ended")
}

// The functions below read values that only attributes of a program have.

func toNice(to *ipc.Attributes, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < -20 || n > 19 {
		return fmt.Errorf("must be a number from -20 to 19")
	}
	to.SetNice, to.Nice = true, int8(n)
	return nil
}

func toUmask(to *uint32, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > 0o777 {
		return fmt.Errorf("must be a number up to 8#777")
	}
	*to = uint32(n)
	return nil
}

func toOOM(to *ipc.Attributes, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < -1000 || n > 1000 {
		return fmt.Errorf("must be a number from -1000 to 1000")
	}
	to.SetOOM, to.OOMScoreAdj = true, int16(n)
	return nil
}

// maxCPU is the highest number of a processor: the last in glibc's cpu_set_t.
const maxCPU = 1023

func toCPUs(to *ipc.Attributes, v etf.Term) error {
	bad := fmt.Errorf("must be a list of processors, numbers from 0 to %d", maxCPU)
	list, ok := etf.Elements(v)
	if !ok || len(list) == 0 {
		return bad
	}
	var cpus []uint16
	for _, t := range list {
		n, ok := t.(int64)
		if !ok || n < 0 || n > maxCPU {
			return bad
		}
		if !slices.Contains(cpus, uint16(n)) {
			cpus = append(cpus, uint16(n))
		}
	}
	to.CPUs = cpus
	return nil
}

// rlimits has all limits of Linux under their names in getrlimit(2).
var rlimits = map[etf.Atom]uint8{
	"as":         unix.RLIMIT_AS,
	"core":       unix.RLIMIT_CORE,
	"cpu":        unix.RLIMIT_CPU,
	"data":       unix.RLIMIT_DATA,
	"fsize":      unix.RLIMIT_FSIZE,
	"locks":      unix.RLIMIT_LOCKS,
	"memlock":    unix.RLIMIT_MEMLOCK,
	"msgqueue":   unix.RLIMIT_MSGQUEUE,
	"nice":       unix.RLIMIT_NICE,
	"nofile":     unix.RLIMIT_NOFILE,
	"nproc":      unix.RLIMIT_NPROC,
	"rss":        unix.RLIMIT_RSS,
	"rtprio":     unix.RLIMIT_RTPRIO,
	"rttime":     unix.RLIMIT_RTTIME,
	"sigpending": unix.RLIMIT_SIGPENDING,
	"stack":      unix.RLIMIT_STACK,
}

// toRlimits takes #{Name => Limit | {Soft, Hard}}, or such pairs in a list.
func toRlimits(to *ipc.Attributes, v etf.Term) error {
	list, bad := Options(v)
	if bad != nil {
		return fmt.Errorf("must be a map or list of names and limits")
	}
	var all []ipc.Rlimit
	for _, p := range list {
		name := p.Key.(etf.Atom)
		n, ok := rlimits[name]
		if !ok {
			return fmt.Errorf("has the unknown limit %.50q; the limits are %s", name, rlimitNames())
		}
		l := ipc.Rlimit{Resource: n}
		soft, hard := p.Value, p.Value
		if t, ok := p.Value.(etf.Tuple); ok && len(t) == 2 {
			soft, hard = t[0], t[1]
		}
		var ok1, ok2 bool
		l.Soft, ok1 = rlimitOf(soft)
		l.Hard, ok2 = rlimitOf(hard)
		if !ok1 || !ok2 || l.Soft > l.Hard {
			return fmt.Errorf("%s must be a number, infinity, or {Soft, Hard} of these, Soft not above Hard", name)
		}
		all = append(all, l)
	}
	to.Rlimits = all
	return nil
}

func rlimitOf(t etf.Term) (uint64, bool) {
	if t == etf.Atom("infinity") {
		return math.MaxUint64, true
	}
	n, ok := t.(int64)
	return uint64(n), ok && n >= 0
}

func rlimitNames() string {
	var names []string
	for n := range rlimits {
		names = append(names, string(n))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// noNewPrivs takes true. The spawner has set it, so all programs inherit it, and it cannot be reset
// (prctl(2)).
func noNewPrivs(v etf.Term) error {
	if v == etf.Atom("false") {
		return errors.New("must be true: erluv_spawner has given up new privileges for good, and its programs inherit that")
	}
	var yes bool
	return toBool(&yes, v)
}
