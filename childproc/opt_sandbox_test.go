package childproc

import (
	"reflect"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/wire/etf"
)

func TestOptSandbox(t *testing.T) {
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
		if err := optSandbox(&got, tt.in); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
}

func TestOptSandboxRefuses(t *testing.T) {
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
		if err := optSandbox(&c, tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestOptNoNewPrivs(t *testing.T) {
	for in, want := range map[etf.Term]string{
		etf.Atom("true"):  "",
		etf.Atom("false"): "for good",
		int64(1):          "must be true or false",
	} {
		err := optNoNewPrivs(in)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", in, err, want)
		}
	}
}

func TestOptAllow(t *testing.T) {
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
		{etf.Atom("userns"), nil, "must be a list of bpf, fanotify"},
		{etf.List{etf.Binary("userns")}, nil, "must be a list of"},
	} {
		var c ipc.Confine
		err := optAllow(&c, tt.in)
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
		if err := optSandbox(&c, pairs("net", etf.Atom("none"))); err != nil || !reflect.DeepEqual(c.Allow.Names(), tt.want) {
			t.Errorf("%v: with a sandbox %v, %v", tt.in, c.Allow.Names(), err)
		}
	}
}
