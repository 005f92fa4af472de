package order

import (
	"reflect"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/wire/etf"
)

func TestSandbox(t *testing.T) {
	bin := func(list ...string) (l etf.List) {
		for _, s := range list {
			l = append(l, etf.Binary(s))
		}
		return l
	}
	for name, tt := range map[string]struct {
		in   etf.Term
		want ipc.Confine
	}{
		"nothing": {pairs(), ipc.Confine{}},
		"files": {
			pairs("read", bin("/etc"), "write", bin("/tmp", "/dev/null"), "exec", bin("/usr")),
			ipc.Confine{Files: true, Read: []string{"/etc"}, Write: []string{"/tmp", "/dev/null"}, Exec: []string{"/usr"}},
		},
		"no file":       {pairs("read", etf.List{}), ipc.Confine{Files: true}},
		"a string":      {pairs("read", etf.List{etf.String("/x")}), ipc.Confine{Files: true, Read: []string{"/x"}}},
		"no network":    {pairs("net", etf.Atom("none")), ipc.Confine{Ports: true}},
		"a port":        {pairs("connect", etf.List{int64(443)}), ipc.Confine{Ports: true, Connect: []uint16{443}}},
		"a small port":  {pairs("connect", etf.String("\x35")), ipc.Confine{Ports: true, Connect: []uint16{53}}},
		"list of pairs": {etf.List{etf.Tuple{etf.Atom("net"), etf.Atom("none")}}, ipc.Confine{Ports: true}},
	} {
		got := ipc.Confine{Files: true, Ports: true, Connect: []uint16{1}} // what was there before goes
		if err := toSandbox(&got, tt.in); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
}

func TestSandboxRefuses(t *testing.T) {
	many := make(etf.List, maxSandboxPaths+1)
	ports := make(etf.List, maxSandboxPorts+1)
	for i := range many {
		many[i] = etf.Binary("/x")
	}
	for i := range ports {
		ports[i] = int64(i + 1)
	}
	for _, tt := range []struct {
		in   etf.Term
		want string
	}{
		{etf.Atom("true"), "must be a map or list"},
		{pairs("reed", etf.List{}), "reed is none of"},
		{pairs("read", etf.Binary("/usr")), "read must be a list"},
		{pairs("read", etf.String("/usr")), "read must be a list"},
		{pairs("exec", etf.List{etf.Binary("usr")}), "exec must hold absolute paths"},
		{pairs("write", etf.List{etf.Binary("/a\x00b")}), "write must hold absolute paths"},
		{pairs("write", etf.List{int64(-1)}), "write must hold"},
		{pairs("read", many), "up to 64"},
		{pairs("net", etf.Atom("all")), "net must be none"},
		{pairs("net", etf.Atom("none"), "connect", etf.List{int64(443)}), "exclude each other"},
		{pairs("connect", etf.List{}), "connect must be"},
		{pairs("connect", etf.List{int64(0)}), "connect must be"},
		{pairs("connect", etf.List{int64(65536)}), "connect must be"},
		{pairs("connect", int64(443)), "connect must be"},
		{pairs("connect", ports), "connect must be"},
	} {
		var c ipc.Confine
		if err := toSandbox(&c, tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestNoNewPrivs(t *testing.T) {
	for in, want := range map[etf.Term]string{
		etf.Atom("true"):  "",
		etf.Atom("false"): "for good",
		int64(1):          "must be true or false",
	} {
		err := noNewPrivs(in)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", in, err, want)
		}
	}
}

func TestAllow(t *testing.T) {
	atoms := func(names ...string) (l etf.List) {
		for _, n := range names {
			l = append(l, etf.Atom(n))
		}
		return l
	}
	for _, tt := range []struct {
		in   etf.Term
		want []string
		bad  string
	}{
		{atoms(), nil, ""},
		{atoms("userns", "io_uring", "userns"), []string{"io_uring", "userns"}, ""},
		{atoms("userns", "everything"), nil, "there is no everything"},
		{etf.Atom("userns"), nil, "must be a list of attributes, bpf"},
		{etf.List{etf.Binary("userns")}, nil, "must be a list of"},
	} {
		var c ipc.Confine
		err := toAllow(&c, tt.in)
		if tt.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%v: %v, want %q", tt.in, err, tt.bad)
			}
			continue
		}
		if got := c.Allow.Names(); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %v, %v, want %v", tt.in, got, err, tt.want)
		}
		// A sandbox leaves it as it is.
		if err := toSandbox(&c, pairs("net", etf.Atom("none"))); err != nil || !reflect.DeepEqual(c.Allow.Names(), tt.want) {
			t.Errorf("%v: with a sandbox %v, %v", tt.in, c.Allow.Names(), err)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		in   etf.Term
		want ipc.Limits
	}{
		{pairs("memory", int64(1<<20), "pids", int64(1), "cpu", int64(1)), ipc.Limits{Memory: 1 << 20, PIDs: 1, CPU: 1}},
		{pairs("memory", int64(1<<62), "pids", int64(1<<22), "cpu", int64(819200)), ipc.Limits{Memory: 1 << 62, PIDs: 1 << 22, CPU: 819200}},
		{pairs("cpu", int64(150)), ipc.Limits{CPU: 150}},
		{etf.List{etf.Tuple{etf.Atom("pids"), int64(3)}}, ipc.Limits{PIDs: 3}},
		{pairs(), ipc.Limits{}},
		{etf.List{}, ipc.Limits{}},
		{pairs("memory", etf.Atom("infinity"), "pids", etf.Atom("infinity"), "cpu", etf.Atom("infinity")), ipc.Limits{}},
		{etf.List{etf.Tuple{etf.Atom("cpu"), etf.Atom("infinity")}, etf.Tuple{etf.Atom("pids"), int64(7)}}, ipc.Limits{PIDs: 7}},
	} {
		got := ipc.Limits{Memory: 9, PIDs: 9, CPU: 9} // what was there before goes
		if err := toLimits(&got, tt.in); err != nil || got != tt.want {
			t.Errorf("%v: %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		in   etf.Term
		want string
	}{
		{etf.Atom("none"), "must be a map or list"},
		{etf.List{int64(1)}, "must be a map or list"},
		{pairs("swap", int64(1)), "swap is none of"},
		{pairs(strings.Repeat("x", 200), int64(1)), "x is none of"},
		{pairs("memory", int64(1<<20-1)), "memory must be a number of bytes from 1048576 to"},
		{pairs("memory", int64(1<<62+1)), "memory must be"},
		{pairs("memory", etf.Atom("max")), "to 4611686018427387904, or infinity"},
		{pairs("memory", int64(0)), "memory must be"},
		{pairs("memory", int64(-1)), "memory must be"},
		{pairs("memory", 1e9), "memory must be"},
		{pairs("pids", int64(-1)), "pids must be"},
		{pairs("cpu", int64(0)), "cpu must be"},
		{pairs("pids", int64(0)), "from 1 to 4194304"},
		{pairs("pids", int64(1<<22+1)), "pids must be"},
		{pairs("cpu", int64(-1)), "from 1 to 819200"},
		{pairs("cpu", int64(819201)), "cpu must be"},
		{pairs("cpu", 20.0), "cpu must be"},
	} {
		var got ipc.Limits
		if err := toLimits(&got, tt.in); err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 120 {
			t.Errorf("%v: %v, want %q", tt.in, err, tt.want)
		}
	}
}
