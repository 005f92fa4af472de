package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pod runs a program as process 1 of a container of doc/containers.md: ROOT ERLUV PROGRAM ARG....
// It runs as user 1000, who is in no user database. It has no capabilities, cannot gain privileges,
// and can write nothing. It shares only the network.
const pod = `
set -e
root=$1 erluv=$2; shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$root"
cd "$root"
mkdir usr proc dev
ln -s usr/bin usr/lib usr/lib64 usr/sbin .
cp "$erluv" erluv
mount --bind /usr usr
mount -o remount,bind,ro usr
mount -t proc proc proc
for device in null zero; do
	: >dev/$device
	mount --bind /dev/$device dev/$device
done
mount -o remount,ro .
exec chroot . setpriv --reuid=1000 --regid=1000 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
	env -i PATH=/usr/bin:/bin HOME=/ LC_ALL=C.UTF-8 "$@"`

// inPod starts a program in a pod: erluv, or a program that starts erluv.
func (n *node) inPod(t *testing.T, stdout io.Writer, args ...string) *erluv {
	t.Helper()
	e := &erluv{node: n, ended: make(chan struct{})}
	e.cmd = exec.Command("sh", append([]string{"-c", pod, "sh", t.TempDir(), executable}, args...)...)
	e.cmd.Env, e.cmd.Stdout, e.cmd.Stderr = []string{"PATH=" + os.Getenv("PATH")}, stdout, &e.stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		e.err = e.cmd.Wait()
		close(e.ended)
	}()
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("it wrote:\n%s", e.stderr.String())
		}
	})
	return e
}

// TestContainer runs erluv as process 1. It tests the abilities that erluv has there, its log lines
// about them, and that it reaps inherited processes.
func TestContainer(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := n.inPod(t, nil, "ERLUV_COOKIE="+cookie, "/erluv", "run", "--node", n.name, "--address", n.listener(t), "--name=pod")
	e.erluv = "pod@127.0.0.1"
	e.expect(t, "ok", "e2e:wait_hidden(E)")
	abi := landlock()
	e.expect(t, "ok", fmt.Sprintf(`
		#{contained := group, user := <<"1000">>, uid := 1000, gid := 1000, main_os_pid := 1,
		  limits := #{memory := false, pids := false, cpu := false},
		  sandbox := #{seccomp := %v, files := %v, ports := %v, scope := %v, no_new_privs := true, capabilities := false}} =
			e2e:call(E, info), ok`, filters(), abi >= 3, abi >= 4, abi >= 6))
	for program, want := range map[string]string{
		"id -u; id -g; id -G": "1000\n1000\n1000\n",
		"grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status | cut -f2": "0000000000000000\n0000000000000000\n1\n",
		"touch /file 2>&1 | grep -o 'Read-only.*'":                       "Read-only file system\n",
		"setsid sh -c 'exec sleep 1000' & echo started":                  "started\n",
	} {
		e.expect(t, "ok", `case e2e:call(E, {run, Program, #{}}) of {ok, #{stdout := Want, exit := {exit_status, 0}}} -> ok; R -> R end`,
			bind{"Program": program, "Want": want})
	}
	e.expect(t, "{error,{limits,{pids,not_supported}}}", `e2e:call(E, {run, "true", #{limits => #{pids => 10}}})`)

	// Processes that docker exec leaves behind have process 1 as their parent.
	inside := func(script string) string {
		out, err := exec.Command("nsenter", "--target", fmt.Sprint(e.cmd.Process.Pid), "--mount", "--pid", "--root", "sh", "-c", script).Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	orphan := inside("sleep 1000 >/dev/null 2>&1 & echo $!")
	eventually(t, "an orphan is process 1's", func() bool { return inside("cut -d' ' -f4 /proc/"+orphan+"/stat") == "1" })
	inside("kill -9 " + orphan)
	eventually(t, "it is reaped", func() bool { return inside("ls -d /proc/"+orphan+" 2>/dev/null || echo gone") == "gone" })
	if err := e.stop(); err != nil {
		t.Error(err)
	}
}

// TestContainerOfNode: the node is process 1 and starts erluv. Processes that leave their program's
// group go on until erluv ends. Control groups would prevent that.
func TestContainerOfNode(t *testing.T) {
	n := newNode(t, nodeOptions{}) // for its EPMD
	var out buffer
	e := n.inPod(t, &out, "ERL_EPMD_PORT="+epmd.port, "ERL_EPMD_ADDRESS="+epmd.host, "ERLUV_COOKIE="+cookie,
		"erl", "-noinput", "-name", "vm@127.0.0.1", "-setcookie", cookie, "-start_epmd", "false",
		"-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-eval", `
			ok = net_kernel:monitor_nodes(true, [{node_type, hidden}]),
			Port = open_port({spawn_executable, "/erluv"}, [exit_status, {args, ["--node", atom_to_list(node()), "--reconnect", "exit"]}]),
			Node = receive {nodeup, Up, _} -> Up; {Port, Ended} -> io:format("~p~n", [Ended]), halt(1) end,
			Run = fun(Cmd) -> {ok, #{stdout := Out}} = gen_server:call({erluv, Node}, {run, Cmd, #{}}), Out end,
			Find = fun(What) -> [Stat || File <- filelib:wildcard("/proc/[0-9]*/stat"), {ok, Stat} <- [file:read_file(File)], string:find(Stat, What) =/= nomatch] end,
			Contained = gen_server:call({erluv, Node}, {info, contained}),
			io:format("~s", [Run("id -u; (setsid true &); setsid sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done")]),
			io:format("~p~n", [{os:getpid(), Contained, Find(") Z "), length(Find("(sleep)"))}]),
			ok = gen_server:call({erluv, Node}, {stop, normal}),
			receive {Port, Status} -> io:format("~p~n", [{Status, Find(") Z "), Find("(sleep)")}]) end,
			halt().`)
	if status, want := e.exits(t, startTime), "1000\n{\"1\",group,[],1}\n{{exit_status,0},[],[]}\n"; status != 0 || out.String() != want {
		t.Errorf("status %d, %q, want %q", status, out.String(), want)
	}
}
