package spawner

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// refusal is a request that cannot be served, and its answer.
type refusal struct {
	change func(m *ipc.Spawn)
	want   ipc.Refusal
	fds    int // how many descriptors come with it
}

// refusals returns requests for each stage. The directory top has the files that they name.
func refusals(t *testing.T, top string) map[string]refusal {
	t.Helper()
	must(t, os.Mkdir(top+"/closed", 0))
	must(t, os.Mkdir(top+"/open", 0o755))
	must(t, os.Symlink("loop", top+"/loop"))
	must(t, unix.Mkfifo(top+"/fifo", 0o600))
	for file, text := range map[string]string{"plain": "", "text": "no program", "lost": "#!/no/such/interpreter\n"} {
		must(t, os.WriteFile(top+"/"+file, []byte(text), 0o600))
	}
	must(t, os.Chmod(top+"/text", 0o700))
	must(t, os.Chmod(top+"/lost", 0o700))

	of := func(stage ipc.Stage, errno unix.Errno) ipc.Refusal { return ipc.Refusal{Stage: stage, Errno: errno} }
	attribute := func(a ipc.Attribute, errno unix.Errno) ipc.Refusal {
		return ipc.Refusal{Stage: ipc.StageAttribute, Errno: errno, Attribute: a}
	}
	limit := func(l ipc.Limit) ipc.Refusal {
		return ipc.Refusal{Stage: ipc.StageLimits, Errno: unix.ENOTSUP, Limit: l}
	}
	dir := func(dir string) func(m *ipc.Spawn) { return func(m *ipc.Spawn) { m.Dir = dir } }
	stream := func(i int, st ipc.Stream) func(m *ipc.Spawn) {
		return func(m *ipc.Spawn) {
			st.FD = uint8(i)
			m.Streams[i] = st
		}
	}
	file := func(i int, path string) func(m *ipc.Spawn) {
		return stream(i, ipc.Stream{Source: ipc.SourceFile, Path: path, Write: i > 0})
	}
	log := func(path string) func(m *ipc.Spawn) {
		return stream(2, ipc.Stream{Source: ipc.SourceFD, Log: true, Path: path, Mode: 0o600})
	}
	further := func(fd uint8, source ipc.Source) func(m *ipc.Spawn) {
		return func(m *ipc.Spawn) {
			m.Streams = append(m.Streams, ipc.Stream{FD: fd, Source: source, Path: "/no/such"})
		}
	}
	runs := func(program string) func(m *ipc.Spawn) { return func(m *ipc.Spawn) { m.Program = program } }
	has := func(f func(a *ipc.Attributes)) func(m *ipc.Spawn) {
		return func(m *ipc.Spawn) { f(&m.Attributes) }
	}
	all := map[string]refusal{
		"a user not allowed":  {func(m *ipc.Spawn) { m.Refused = "root" }, of(ipc.StageUser, unix.EPERM), 2},
		"a user there is not": {func(m *ipc.Spawn) { m.Refused = "no such user" }, of(ipc.StageUser, unix.ENOENT), 0},

		"limits before all else": {func(m *ipc.Spawn) { m.Dir, m.Attributes.Limits = "/no/such", allLimits }, limit(ipc.LimitMemory), 3},
		"a limit of processes":   {has(func(a *ipc.Attributes) { a.Limits.PIDs = 5 }), limit(ipc.LimitPIDs), 0},
		"a limit of time":        {has(func(a *ipc.Attributes) { a.Limits.CPU = 5 }), limit(ipc.LimitCPU), 0},

		"no directory":       {dir("/no/such"), of(ipc.StageDir, unix.ENOENT), 4},
		"an empty directory": {dir(""), of(ipc.StageDir, unix.ENOENT), 0},
		"a NUL in it":        {dir("/\x00"), of(ipc.StageDir, unix.EINVAL), 0},
		"a file":             {dir("/etc/passwd"), of(ipc.StageDir, unix.ENOTDIR), 0},
		"a loop":             {dir(top + "/loop"), of(ipc.StageDir, unix.ELOOP), 0},
		"a long name":        {dir("/" + strings.Repeat("x", 300)), of(ipc.StageDir, unix.ENAMETOOLONG), 0},

		"stdin not there":      {file(0, "/no/such"), of(ipc.StageStdin, unix.ENOENT), 0},
		"stdin with a NUL":     {file(0, "/etc/\x00"), of(ipc.StageStdin, unix.EINVAL), 0},
		"stdout a directory":   {file(1, "open"), of(ipc.StageStdout, unix.EISDIR), 0},
		"stdout beneath none":  {file(1, "none/x"), of(ipc.StageStdout, unix.ENOENT), 0},
		"stderr a FIFO":        {file(2, "fifo"), of(ipc.StageStderr, unix.ENXIO), 0},
		"a log beneath none":   {log("none/x"), of(ipc.StageStderr, unix.ENOENT), 1},
		"a log that is none":   {log("/dev/null"), of(ipc.StageStderr, unix.EINVAL), 1},
		"a log a directory":    {log("open"), of(ipc.StageStderr, unix.EISDIR), 1},
		"a log without a pipe": {log("new"), of(ipc.StageStderr, unix.EBADF), 0},
		"a log of no pipe": {
			stream(1, ipc.Stream{Source: ipc.SourceNull, Log: true, Path: top + "/new"}), of(ipc.StageStdout, unix.EINVAL), 0,
		},
		"more logs than come": {func(m *ipc.Spawn) {
			for i := range 21 {
				m.Streams = append(m.Streams, ipc.Stream{FD: uint8(3 + i), Source: ipc.SourceFD, Log: true, Path: fmt.Sprint(top, "/log", i), Mode: 0o600})
			}
		}, ipc.Refusal{Stage: ipc.StageFD, Errno: unix.EMFILE, FD: 23}, 21},
		"a further file":  {further(7, ipc.SourceFile), ipc.Refusal{Stage: ipc.StageFD, Errno: unix.ENOENT, FD: 7}, 0},
		"the last of all": {further(255, ipc.SourceFD), ipc.Refusal{Stage: ipc.StageFD, Errno: unix.EBADF, FD: 255}, 0},
		"a gap twice": {func(m *ipc.Spawn) {
			m.Streams = append(m.Streams, ipc.Stream{FD: 9, Source: ipc.SourceNull}, ipc.Stream{FD: 10, Source: ipc.SourceDup, Dup: 5})
		}, ipc.Refusal{Stage: ipc.StageFD, Errno: unix.EBADF, FD: 10}, 0},

		"a terminal without one": {stream(0, ipc.Stream{Source: ipc.SourceTerminal}), of(ipc.StageStdin, unix.EINVAL), 0},
		"a terminal as stdout": {func(m *ipc.Spawn) {
			m.Terminal = &ipc.Terminal{Rows: 1, Cols: 1}
			m.Streams[1].Source = ipc.SourceTerminal
		}, of(ipc.StageStdout, unix.EINVAL), 0},
		"a terminal, and no program": {func(m *ipc.Spawn) {
			m.Terminal, m.Program = &ipc.Terminal{Rows: 1, Cols: 1}, "/no/such"
			m.Streams[0].Source = ipc.SourceTerminal
		}, of(ipc.StageProgram, unix.ENOENT), 0},
		"a socket and a log, and no program": {func(m *ipc.Spawn) {
			m.Notify, m.Program = true, "/no/such"
			log("new")(m)
		}, of(ipc.StageProgram, unix.ENOENT), 1},

		"no program":             {runs("no such program"), of(ipc.StageProgram, unix.ENOENT), 3},
		"none by a path":         {runs("/no/such"), of(ipc.StageProgram, unix.ENOENT), 0},
		"an empty name":          {runs(""), of(ipc.StageProgram, unix.ENOENT), 0},
		"a name with a NUL":      {runs("/bin/sh\x00"), of(ipc.StageProgram, unix.EINVAL), 0},
		"an argument with a NUL": {func(m *ipc.Spawn) { m.Args = []string{"a\x00"} }, of(ipc.StageProgram, unix.EINVAL), 0},
		"a variable with a NUL":  {func(m *ipc.Spawn) { m.Env = []string{"A=\x00"} }, of(ipc.StageProgram, unix.EINVAL), 0},
		"a plain file":           {runs("./plain"), of(ipc.StageProgram, unix.EACCES), 0},
		"a directory":            {runs("./open"), of(ipc.StageProgram, unix.EACCES), 0},
		"a text":                 {runs("./text"), of(ipc.StageProgram, unix.ENOEXEC), 0},
		"no interpreter":         {runs("./lost"), of(ipc.StageProgram, unix.ENOENT), 0},
		"a file as a directory":  {runs("/etc/passwd/x"), of(ipc.StageProgram, unix.ENOTDIR), 0},
		"a long argument":        {func(m *ipc.Spawn) { m.Args = append(m.Args, strings.Repeat("x", 128<<10)) }, of(ipc.StageProgram, unix.E2BIG), 0},

		"a limit above its own": {
			has(func(a *ipc.Attributes) { a.Rlimits = []ipc.Rlimit{{Resource: unix.RLIMIT_CORE, Soft: 2, Hard: 1}} }),
			attribute(ipc.AttributeRlimits, unix.EINVAL), 0,
		},
		"a limit of nothing": {
			has(func(a *ipc.Attributes) { a.Rlimits = []ipc.Rlimit{{Resource: 99}} }), attribute(ipc.AttributeRlimits, unix.EINVAL), 0,
		},
		"a path there is not": {
			has(func(a *ipc.Attributes) { a.Confine = ipc.Confine{Files: true, Read: []string{"/", "/no/such"}} }),
			of(ipc.StageConfine, unix.ENOENT), 0,
		},
		"nothing to execute": {
			has(func(a *ipc.Attributes) { a.Confine = ipc.Confine{Files: true, Read: []string{"/"}} }),
			of(ipc.StageProgram, unix.EACCES), 0,
		},
		"no processor of that number": {
			has(func(a *ipc.Attributes) { a.CPUs = []uint16{0, 1000} }), attribute(ipc.AttributeCPUs, unix.EINVAL), 0,
		},
		"an oom_score_adj out of range": {
			has(func(a *ipc.Attributes) { a.SetOOM, a.OOMScoreAdj = true, 1001 }), attribute(ipc.AttributeOOM, unix.EINVAL), 0,
		},
	}
	if os.Geteuid() != 0 { // root may do all this
		maps.Copy(all, map[string]refusal{
			"a closed directory":  {dir(top + "/closed"), of(ipc.StageDir, unix.EACCES), 0},
			"beneath a closed":    {dir(top + "/closed/x"), of(ipc.StageDir, unix.EACCES), 0},
			"stdin not readable":  {file(0, "/etc/shadow"), of(ipc.StageStdin, unix.EACCES), 0},
			"stdout not writable": {file(1, "/etc/passwd"), of(ipc.StageStdout, unix.EACCES), 0},
			"stderr in a foreign": {file(2, "/etc/new"), of(ipc.StageStderr, unix.EACCES), 0},
			"more than niceness": {
				has(func(a *ipc.Attributes) { a.SetNice, a.Nice = true, -20 }), attribute(ipc.AttributeNice, unix.EACCES), 0,
			},
		})
	}
	return all
}

// byTheRole makes a program need the role become, by an attribute that it has anyway.
func byTheRole(t *testing.T, m *ipc.Spawn) {
	t.Helper()
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(own)))
	must(t, err)
	if !m.Attributes.SetOOM {
		m.Attributes.SetOOM, m.Attributes.OOMScoreAdj = true, int16(n)
	}
}

// TestRefusals: each failure is answered with its stage, error and other details, by either way of
// starting. After thousands of failures no descriptor, process or socket is left.
func TestRefusals(t *testing.T) {
	for name, times := range map[string]int{"directly": 60, "by the role become": 2} {
		t.Run(name, func(t *testing.T) {
			l := here(t)
			top := tree(t)
			null := none(t)
			l.notifies() // the directory of the sockets stays
			l.keeps("all refusals", func() {
				for what, r := range refusals(t, top) {
					m := program("true")
					m.Seq, m.Dir = 12, top
					r.change(m)
					again := times
					if name != "directly" {
						byTheRole(t, m)
					} else if byExec(&m.Attributes) {
						again = 2
					}
					for range again {
						l.refused(what, m, r.want, slices.Repeat([]int{null}, r.fds)...)
						l.reaped()
					}
				}
			})
			if left := l.sockets(); !slices.Equal(left, []string{notifyLock}) {
				t.Errorf("%q are left", left)
			}
			// It still starts programs.
			if got := l.says(program("/bin/sh", "-c", "echo and goes on")); got != "and goes on" {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestWithoutDescriptors: a start may run out of descriptors at any stage. The program is then
// refused at that stage, nothing is left of it, and a later start with room succeeds.
func TestWithoutDescriptors(t *testing.T) {
	for name, want := range map[string][]ipc.Stage{
		"directly": {
			ipc.StageDir, ipc.StageTerminal, ipc.StageTerminal, ipc.StageTerminal, // both ends, and one twice
			ipc.StageStdout, ipc.StageStderr, ipc.StageNotify, ipc.StageProgram, ipc.StageNone,
		},
		"by the role become": {
			ipc.StageDir, ipc.StageTerminal, ipc.StageTerminal, ipc.StageTerminal,
			ipc.StageStdout, ipc.StageStderr, ipc.StageNotify, ipc.StageProgram, ipc.StageProgram, ipc.StageProgram, ipc.StageNone,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := here(t)
			l.notifies()
			m := changed(func(m *ipc.Spawn) {
				m.Terminal, m.Notify = &ipc.Terminal{Rows: 1, Cols: 1}, true
				m.Streams[0].Source = ipc.SourceTerminal
			}, "true")
			if name != "directly" {
				byTheRole(t, m)
			}
			for room, stage := range want {
				l.keeps(fmt.Sprintf("%d descriptors", room), func() {
					withRoom(t, room, func() {
						l.say(m)
						l.answered()
					})
					if stage == ipc.StageNone {
						is, with := l.started(m)
						ipc.CloseAll(with.List())
						l.ends(is)
						l.say(ipc.Forget{Seq: m.Seq})
						return
					}
					l.wants(fmt.Sprintf("%d descriptors", room), m, ipc.Refusal{Stage: stage, Errno: unix.EMFILE})
				})
			}
		})
	}
}
