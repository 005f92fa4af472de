package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// If a resource is exhausted, running programs go on with all operations. When there is more of it,
// everything works again, and only failed processes have been started anew.

// lower lowers a limit of one of the roles to n until the caller calls restore. RLIMIT_NPROC does
// not bind root.
func lower(t *testing.T, pid int, limit string, n uint64) (restore func()) {
	t.Helper()
	old := softLimit(t, pid, limit, n)
	return func() { softLimit(t, pid, limit, old) }
}

// softLimit sets a limit as the user of the process, and returns the old value. If the real user of
// a spawner is a keeper, the spawner sets the limit itself.
func softLimit(t *testing.T, pid int, limit string, n uint64) (old uint64) {
	t.Helper()
	uids, gids := strings.Fields(status(pid, pid)["Uid"]), strings.Fields(status(pid, pid)["Gid"])
	if len(uids) < 3 || len(gids) < 3 {
		t.Fatalf("process %d is not there", pid)
	}
	if uids[0] != uids[1] {
		return ownLimit(t, pid, map[string]int{"nproc": unix.RLIMIT_NPROC, "nofile": unix.RLIMIT_NOFILE}[limit], n)
	}
	prlimit := func(args ...string) string {
		cmd := exec.Command("prlimit", append([]string{"--pid", strconv.Itoa(pid)}, args...)...)
		if os.Getuid() == 0 {
			uid, _ := strconv.ParseUint(uids[0], 10, 32)
			gid, _ := strconv.ParseUint(gids[0], 10, 32)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", cmd, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	old, err := strconv.ParseUint(prlimit("--output=SOFT", "--noheadings", "--"+limit), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	prlimit(fmt.Sprintf("--%s=%d:", limit, n))
	return old
}

// residents are workers that have run before the shortage. Works shows that they work.
const residents = `
	Big = binary:copy(<<"0123456789abcdef">>, 20000),
	Take = fun Take(_, 0) -> ok;
		Take(W, N) -> receive {W, {stdout, B}} -> Take(W, N - byte_size(B)) after 120000 -> {short, N} end end,
	Echo = fun(W) -> ok = e2e:call(W, {write, Big}), Take(W, byte_size(Big)) end,
	Residents = [e2e:start(E, ["cat"], O) || O <- [#{}, #{}, #{stderr => stdout}, #{pty => #{icanon => 0, echo => 0, opost => 0}}], _ <- lists:seq(1, 6)],
	Works = fun() ->
		[pong] = lists:usort([net_adm:ping(E) || _ <- lists:seq(1, 10)]),
		[ok] = lists:usort([Echo(W) || _ <- lists:seq(1, 3), W <- Residents]),
		true = length(e2e:call(E, workers)) >= length(Residents),
		works
	end,
`

// allIsWell ends the residents and checks that programs of all kinds run, under the same roles as
// before.
func allIsWell(t *testing.T, e *erluv, s session, before roles) {
	t.Helper()
	s.expect(t, "{works,{<<>>,<<>>,{exit_status,0},normal}}", `
		Worked = Works(),
		[{ok, {signal, _}} = e2e:call(W, stop) || W <- Residents],
		{Worked, e2e:outcome(e2e:start(E, ["true"], #{rlimits => #{core => 0}}))}`)
	if now := e.roles(t); now != before {
		t.Errorf("the roles are %v, were %v", now, before)
	}
}

// Where no process can be made, no thread can be made either.
//
//erluv:users
func TestNoMoreProcesses(t *testing.T) {
	for by, exhaust := range waysOutOfProcesses() {
		t.Run(by, func(t *testing.T) {
			e := newErluv(t, newNode(t, nodeOptions{}))
			r := e.roles(t)
			s := e.session(t)
			s.eval(t, residents+"Works()")
			threadsOf := func() (n []int) {
				for _, pid := range r.each() {
					n = append(n, len(threads(t, pid)))
				}
				slices.Sort(n)
				return n
			}
			begun := threadsOf()
			for range 2 {
				restore := exhaust(t, e, r)
				for _, pid := range r.each() {
					kill(t, pid, syscall.SIGQUIT) // it logs how it stands
				}
				s.expect(t, "{[{error,eagain}],works}", `
					Ask = fun(N) -> e2e:call(E, {spawn, ["true", binary:copy(<<"x">>, N * 100)], #{rlimits => maps:from_list([{core, 0} || N rem 2 =:= 0])}}) end,
					{lists:usort([Ask(N) || N <- lists:seq(1, 100)]), Works()}`)
				restore()
				s.expect(t, "{<<>>,<<>>,{exit_status,0},normal}", `e2e:outcome(e2e:start(E, ["true"]))`)
			}
			allIsWell(t, e, s, r)
			if now := threadsOf(); !slices.Equal(now, begun) {
				t.Errorf("the roles have %v threads, had %v", now, begun)
			}
		})
	}
}

// waysOutOfProcesses returns the ways that the machine allows.
func waysOutOfProcesses() map[string]func(*testing.T, *erluv, roles) func() {
	ways := map[string]func(*testing.T, *erluv, roles) func(){
		"RLIMIT_NPROC": func(t *testing.T, e *erluv, r roles) func() {
			var all []func()
			for _, pid := range r.each() {
				all = append(all, lower(t, pid, "nproc", 3))
			}
			return func() {
				for _, restore := range all {
					restore()
				}
			}
		},
	}
	if group := pidsGroup(); group != "" {
		ways["pids.max"] = func(t *testing.T, _ *erluv, r roles) func() {
			at := filepath.Join(group, fmt.Sprintf("e2e-%d", os.Getpid()))
			if err := os.Mkdir(at, 0o755); err != nil && !os.IsExist(err) {
				t.Fatal(err)
			}
			write := func(file, text string) {
				if err := os.WriteFile(file, []byte(text), 0); err != nil {
					t.Fatal(err)
				}
			}
			move := func(to string) {
				for _, pid := range r.each() {
					write(filepath.Join(to, "cgroup.procs"), strconv.Itoa(pid))
				}
			}
			move(at)
			now, err := os.ReadFile(filepath.Join(at, "pids.current"))
			if err != nil {
				t.Fatal(err)
			}
			write(filepath.Join(at, "pids.max"), strings.TrimSpace(string(now)))
			return func() {
				move(group)
				if err := unix.Rmdir(at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return ways
}

// pidsGroup returns the test's control group of version 1, or "" if no other group can be made
// there.
func pidsGroup() string {
	const root = "/sys/fs/cgroup/pids"
	own, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(own)) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), ":pids:"); ok {
			at := filepath.Join(root, path)
			if syscall.Access(filepath.Join(at, "cgroup.procs"), unix.W_OK) == nil {
				return at
			}
		}
	}
	return ""
}

// Without descriptors in the child or the spawner, programs cannot be started. Running programs and
// requests of all sizes work as before.
//
//erluv:users
func TestNoMoreDescriptors(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	r := e.roles(t)
	s := e.session(t)
	s.eval(t, residents+"Works()")
	for role, pid := range map[string]int{"child": r.child, "spawner": r.spawner} {
		for _, limit := range []int{3, len(descriptors(t, pid)) + 1} {
			t.Run(fmt.Sprintf("%s %d", role, limit), func(t *testing.T) {
				restore := lower(t, pid, "nofile", uint64(limit))
				s.expect(t, "{[{error,emfile}],works}", `
					Long = binary:copy(<<"x">>, 100000),
					Ask = fun(O) -> [e2e:call(E, {spawn, ["true", Arg], O}) || Arg <- [<<"x">>, Long]] end,
					{lists:usort(lists:append([Ask(O) || O <- [#{}, #{stdin => null}, #{pty => true}, #{ready => notify},
						#{rlimits => #{core => 0}}, #{cd => "/tmp"}, #{stdout => {file, "/dev/null"}}], _ <- lists:seq(1, 5)])), Works()}`)
				restore()
				s.expect(t, "{<<>>,<<>>,{exit_status,0},normal}", `e2e:outcome(e2e:start(E, ["true"]))`)
			})
		}
	}
	allIsWell(t, e, s, r)
}

// Main needs no more descriptors in normal operation, and keeps those that it needs after a crash.
// Processes that it then starts have the same limits as before.
//
//erluv:users
func TestMainWithoutDescriptors(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	socket := e.socket(t)
	s.eval(t, residents+`
		Limits = fun() -> e2e:call(E, {run, "ulimit -n; ulimit -Hn", #{}}) end,
		{ok, #{exit := {exit_status, 0}}} = Before = Limits()`)
	for n := range 3 {
		r := e.roles(t)
		lower(t, r.main, "nofile", uint64(2+n))
		if n == 0 {
			s.expect(t, "works", "Works()")
		}
		kill(t, r.child, syscall.SIGKILL)
		if why := s.down(t, n); why != "{signal,sigkill}" {
			t.Fatal(why)
		}
		s.expect(t, "pong", "net_adm:ping(E)")
		s.respawn(t)
		s.expect(t, "true", "Before =:= Limits()")

		// If only the spawner dies, another follows it, and no other process notices.
		r = e.roles(t)
		lower(t, r.main, "nofile", uint64(2+n))
		kill(t, r.spawner, syscall.SIGKILL)
		s.expect(t, "ok", "e2e:until(fun() -> Before =:= Limits() end)")
		if now := e.roles(t); now.child != r.child || now.spawner == r.spawner {
			t.Errorf("the roles are %v, were %v", now, r)
		}
		if got := e.socket(t); got != socket {
			t.Errorf("the connection is %s, it was %s", got, socket)
		}
	}
}

// erluv reports a full file system, and the program does not wait for it. When there is room again,
// files are written and rotated again.
//
//erluv:users
func TestFullDisk(t *testing.T) {
	dir, size := smallDisk(t)
	if dir == "" {
		return // the user may not mount a file system here
	}
	e := newErluv(t, newNode(t, nodeOptions{})) // it sees the mounts that were made before it started
	path := filepath.Join(dir, "log")
	s := e.session(t)
	size("48k", 100)
	s.expect(t, "{told,written}", `
		W = e2e:start(E, ["/bin/sh", "-c", "while read n; do head -c $n /dev/zero | tr '\\0' x; echo; echo wrote >&2; done"],
			#{stdout => {file, Path, [{rotate, #{size => 16384, count => 3}}]}}),
		Write = fun(N) ->
			ok = e2e:call(W, {write, [integer_to_binary(N), "\n"]}),
			receive {W, {stderr, <<"wrote\n">>}} -> written after 120000 -> blocked end
		end,
		Told = fun() -> receive {W, {stdout, {error, enospc}}} -> told after 120000 -> silent end end,
		Written = Write(200000),
		{Told(), Written}`, bind{"Path": path})
	size("10m", 100)
	s.expect(t, "written", "Write(20000)")
	eventually(t, "the log goes on", func() bool {
		old, err1 := os.ReadFile(path + ".1")
		now, err2 := os.ReadFile(path)
		return err1 == nil && err2 == nil && len(old) == 16384 && strings.HasSuffix(string(now), "x\n")
	})
	// No file can be made.
	size("10m", 0)
	s.expect(t, "{{error,{stdout,enospc}},{ok,{signal,sigterm}}}", `
		{e2e:call(E, {spawn, ["true"], #{stdout => {file, <<Path/binary, ".new">>}}}), e2e:call(W, stop)}`, bind{"Path": path})
	size("10m", 100)
	s.expect(t, "{none,<<>>,{exit_status,0},normal}", `
		e2e:outcome(e2e:start(E, ["true"], #{stdout => {file, <<Path/binary, ".new">>}}))`, bind{"Path": path})
}

// smallDisk mounts a file system that all users may write to, or returns "" where that is not
// allowed. The function size changes its size and the number of files that can still be made.
func smallDisk(t *testing.T) (dir string, size func(bytes string, files uint64)) {
	t.Helper()
	dir = shelf(t, 0o755)
	if err := unix.Mount("small", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=48k,nr_inodes=100,mode=777"); err != nil {
		return "", nil
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(bytes string, files uint64) {
		t.Helper()
		var now unix.Statfs_t
		if err := unix.Statfs(dir, &now); err != nil {
			t.Fatal(err)
		}
		options := fmt.Sprintf("size=%s,nr_inodes=%d", bytes, now.Files-now.Ffree+files)
		if err := unix.Mount("small", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			t.Fatal(err)
		}
	}
}
