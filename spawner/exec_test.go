package spawner

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// The function role runs the role become with arguments, and with the test as the spawner. Its
// argument say speaks on the conversation, which is the role's descriptor 3. It returns the role's
// answers and output.
func role(t *testing.T, say func(c *ipc.Conn), args ...string) (answers []ipc.Refusal, text string) {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	must(t, err)
	defer ours.Close()
	fd, err := unix.FcntlInt(uintptr(theirs.FD()), unix.F_DUPFD_CLOEXEC, 3)
	must(t, err)
	_ = theirs.Close()
	f := os.NewFile(uintptr(fd), "socket")
	var out bytes.Buffer
	cmd := exec.Command("/proc/self/exe", append([]string{"become"}, args...)...)
	cmd.ExtraFiles, cmd.Env, cmd.Stderr, cmd.Stdout = []*os.File{f}, environ(), &out, &out
	must(t, cmd.Start())
	_ = f.Close()
	say(ours)
	buf := make([]byte, ipc.MaxPacket)
	for {
		n, _, err := ours.Recv(buf, patience)
		if err == io.EOF {
			break
		}
		must(t, err)
		m, err := ipc.Decode(buf[:n])
		must(t, err)
		answers = append(answers, m.(ipc.Spawned).Refusal)
	}
	_ = cmd.Wait()
	return answers, out.String()
}

func sends(t *testing.T, m ipc.Message, fds ...int) func(c *ipc.Conn) {
	return func(c *ipc.Conn) { must(t, c.Send(ipc.Append(nil, m), patience, fds...)) }
}

// TestExecForNobody: the role reports an error if the spawner has not started it.
func TestExecForNobody(t *testing.T) {
	nothing := func(*ipc.Conn) {}
	other, err := unix.MemfdCreate("other", unix.MFD_CLOEXEC)
	must(t, err)
	defer unix.Close(other)
	for _, c := range []struct {
		say  func(c *ipc.Conn)
		args []string
		want string
	}{
		{nothing, nil, "it takes a descriptor"},
		{nothing, []string{"3", "4"}, "it takes a descriptor"},
		{nothing, []string{"three"}, "invalid syntax"},
		{nothing, []string{"1"}, "descriptor 1 is no conversation of erluv"},
		{nothing, []string{"99"}, "descriptor 99 is no conversation of erluv"},
		{func(c *ipc.Conn) { must(t, unix.Shutdown(c.FD(), unix.SHUT_WR)) }, []string{"3"}, "EOF"},
		{func(c *ipc.Conn) { must(t, c.Send([]byte{255}, patience)) }, []string{"3"}, "no message has the kind 255"},
		{sends(t, ipc.Ready{}), []string{"3"}, "it was sent ipc.Ready"},
		{sends(t, ipc.SpawnInMemfd{Size: 9}), []string{"3"}, "it was sent ipc.SpawnInMemfd"},
		{sends(t, ipc.SpawnInMemfd{Size: 9}, other), []string{"3"}, "a spawn request of 9 bytes ends after 0"},
	} {
		answers, text := role(t, c.say, c.args...)
		if len(answers) > 0 || !strings.Contains(text, "become is a part of erluv that erluv itself starts") || !strings.Contains(text, c.want) {
			t.Errorf("%q: %v, %q; want %q", c.args, answers, text, c.want)
		}
	}
}

// TestExecRefuses: every failure before the exec is answered, those before the attributes are set
// and those after.
func TestExecRefuses(t *testing.T) {
	attribute := func(a ipc.Attribute) ipc.Refusal {
		return ipc.Refusal{Stage: ipc.StageAttribute, Errno: unix.EINVAL, Attribute: a}
	}
	readOnly := none(t)
	ready := ipc.Refusal{}
	for name, c := range map[string]struct {
		change func(m *ipc.Spawn)
		want   []ipc.Refusal
	}{
		"a NUL":     {func(m *ipc.Spawn) { m.Program = "/\x00" }, []ipc.Refusal{{Stage: ipc.StageProgram, Errno: unix.EINVAL}}},
		"in an arg": {func(m *ipc.Spawn) { m.Args = []string{"\x00"} }, []ipc.Refusal{{Stage: ipc.StageProgram, Errno: unix.EINVAL}}},
		"in Env":    {func(m *ipc.Spawn) { m.Env = []string{"\x00"} }, []ipc.Refusal{{Stage: ipc.StageProgram, Errno: unix.EINVAL}}},
		"no path": {
			func(m *ipc.Spawn) { m.Attributes.Confine = ipc.Confine{Files: true, Read: []string{"/no/such"}} },
			[]ipc.Refusal{{Stage: ipc.StageConfine, Errno: unix.ENOENT}},
		},
		"no such oom":       {func(m *ipc.Spawn) { m.Attributes.SetOOM, m.Attributes.OOMScoreAdj = true, -1001 }, []ipc.Refusal{attribute(ipc.AttributeOOM)}},
		"no such processor": {func(m *ipc.Spawn) { m.Attributes.CPUs = []uint16{1000} }, []ipc.Refusal{attribute(ipc.AttributeCPUs)}},
		"some processors":   {func(m *ipc.Spawn) { m.Attributes.CPUs = []uint16{0, 1000} }, []ipc.Refusal{attribute(ipc.AttributeCPUs)}},
		"no such limit": {
			func(m *ipc.Spawn) { m.Attributes.Rlimits = []ipc.Rlimit{{Resource: 99}} },
			[]ipc.Refusal{ready, attribute(ipc.AttributeRlimits)},
		},
		"no program": {func(m *ipc.Spawn) { m.Program = "/no/such" }, []ipc.Refusal{ready, {Stage: ipc.StageProgram, Errno: unix.ENOENT}}},
	} {
		m := program("/bin/true")
		c.change(m)
		answers, text := role(t, sends(t, m), "3")
		if len(answers) != len(c.want) || answers[0] != c.want[0] || answers[len(answers)-1] != c.want[len(c.want)-1] || text != "" {
			t.Errorf("%s: %+v, %q; want %+v", name, answers, text, c.want)
		}
	}
	answers, _ := role(t, sends(t, program("/bin/true"), readOnly), "3")
	if want := (ipc.Refusal{Stage: ipc.StageLimits, Errno: unix.EBADF, Limit: ipc.NumLimits}); len(answers) != 2 || answers[1] != want {
		t.Errorf("a group that cannot be entered: %+v, want %+v", answers, want)
	}
}

// TestExecBecomes: the role enters its groups, sets the attributes, and becomes the program. That
// holds for a request in a memfd too.
func TestExecBecomes(t *testing.T) {
	for _, long := range []string{"", strings.Repeat("x", ipc.MaxPacket)} {
		group, err := os.CreateTemp(t.TempDir(), "")
		must(t, err)
		defer group.Close()
		m := program("/bin/sh", "-c", "ulimit -c; echo $A")
		m.Env = []string{"A=1", "B=" + long}
		m.Attributes.Rlimits = []ipc.Rlimit{{Resource: unix.RLIMIT_CORE}}
		answers, text := role(t, func(c *ipc.Conn) { must(t, sendSpawn(c, m, []int{int(group.Fd())})) }, "3")
		if len(answers) != 1 || answers[0].Stage != ipc.StageNone || text != "0\n1\n" {
			t.Errorf("%+v, %q", answers, text)
		}
		if b, err := os.ReadFile(group.Name()); err != nil || string(b) != "0" {
			t.Errorf("the group was told %q, %v", b, err)
		}
	}
}

// TestAwaitExec: the role has become the program when it has announced the exec and the socket is
// closed, and in no other case.
func TestAwaitExec(t *testing.T) {
	will := ipc.Append(nil, ipc.Spawned{})
	no := ipc.Refusal{Stage: ipc.StageAttribute, Errno: unix.EPERM, Attribute: ipc.AttributeNice}
	not := ipc.Append(nil, ipc.Spawned{Refusal: no})
	of := func(errno unix.Errno) *ipc.Refusal { return &ipc.Refusal{Stage: ipc.StageProgram, Errno: errno} }
	null := none(t)
	before := descriptors(t)
	for name, c := range map[string]struct {
		packets [][]byte
		want    *ipc.Refusal
	}{
		"done":           {[][]byte{will}, nil},
		"killed":         {nil, of(unix.EAGAIN)},
		"refused":        {[][]byte{not}, &no},
		"refused then":   {[][]byte{will, not}, &no},
		"junk":           {[][]byte{{255}}, of(unix.EPROTO)},
		"junk then":      {[][]byte{will, {255}}, of(unix.EPROTO)},
		"something else": {[][]byte{ipc.Append(nil, ipc.Ready{})}, of(unix.EPROTO)},
		"too long":       {[][]byte{make([]byte, 65)}, of(unix.EAGAIN)},
	} {
		ours, theirs, err := ipc.Pair()
		must(t, err)
		for _, p := range c.packets {
			must(t, theirs.Send(p, patience, null))
		}
		_ = theirs.Close()
		got := awaitExec(ours)
		_ = ours.Close()
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	noneLeft(t, "the conversation", before)
}
