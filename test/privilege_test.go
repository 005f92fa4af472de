package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Every thread of the child, the spawner and the workers runs as the user. It has no groups and no
// capabilities, and can gain none.
//
//erluv:users
func TestNobodysProcesses(t *testing.T) {
	e := common(t)
	s := e.session(t)
	s.eval(t, `W = e2e:start(E, ["sleep", "100"]), V = e2e:start(E, "sleep 100 & echo ready; wait"), ok = e2e:ready(V)`)
	r := e.roles(t)
	pids := r.each()
	delete(pids, "main")
	for _, p := range family(r.spawner) {
		pids["worker "+p.String()] = p.pid
	}
	if len(pids) < 2+3 {
		t.Fatalf("there are %v, want child, spawner and three programs", pids)
	}
	uid, gid := fmt.Sprint(workerID), fmt.Sprint(groupID)
	want := map[string]string{
		"Uid": strings.Join([]string{uid, uid, uid, uid}, " "), "Gid": strings.Join([]string{gid, gid, gid, gid}, " "),
		"Groups": "", "NoNewPrivs": "1",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapAmb": "0000000000000000",
	}
	for name, pid := range pids {
		for _, tid := range threads(t, pid) {
			got := status(pid, tid)
			if keeper, rest, _ := strings.Cut(got["Uid"], " "); name == "spawner" && !ordinary {
				// Its real user keeps the control groups, and no other process has this user.
				if n, err := strconv.ParseUint(keeper, 10, 32); err != nil || n < 0x70000000 || n > 0x7fffffff {
					t.Errorf("the spawner's real user is %q", keeper)
				}
				got["Uid"] = uid + " " + rest
			}
			for key, value := range want {
				if got != nil && got[key] != value {
					t.Errorf("%s, thread %d: %s is %q, want %q", name, tid, key, got[key], value)
				}
			}
		}
	}
	s.eval(t, "{e2e:call(W, stop), e2e:call(V, stop)}")
}

// A program is the leader of a session and a group of its own. It has descriptors 0, 1 and 2 and no
// other.
//
//erluv:users
func TestWhatAProgramHas(t *testing.T) {
	e := common(t)
	s := e.session(t)
	// It runs once it answers. Before, its loader has libraries open.
	pid, err := strconv.Atoi(s.eval(t, `
		W = e2e:start(E, ["cat"]),
		ok = e2e:call(W, {write, "x"}),
		ok = e2e:said(W, stdout, <<"x">>),
		e2e:os_pid(W)`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if group, sid := fields[2], fields[3]; group != strconv.Itoa(pid) || sid != group {
		t.Errorf("process %d is in group %s, session %s", pid, group, sid)
	}
	if fds := descriptors(t, pid); len(fds) != 3 {
		t.Errorf("a program has the descriptors %q", fds)
	}
	if environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err != nil || len(environ) != 0 {
		t.Errorf("a program has the environment %q, %v", environ, err)
	}
	if umask := status(pid, pid)["Umask"]; umask != "0022" {
		t.Errorf("a program has the umask %s", umask)
	}
	s.eval(t, "e2e:call(W, stop)")
}

// The cookie is in no command line, and in the environment of no process of erluv. It is not in the
// memory of the child, the spawner and programs, including the journal. It is not in the log
// either, even if the child crashes and prints its stack. None of erluv's own processes can leave a
// core.
//
//erluv:users
func TestTheCookieIsHidden(t *testing.T) {
	for name, give := range map[string]func(*node) []string{
		"in a file":      func(n *node) []string { return []string{n.cookieFile()} },
		"as an argument": func(n *node) []string { return []string{"--cookie=" + cookie} },
		"in the environment": func(n *node) []string {
			n.env = append(n.env, "ERLUV_COOKIE="+cookie)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			args := give(n)
			e, err := n.run(nil, append([]string{"run", "--node", n.name, "--name=hider", "--host=127.0.0.1", "--die-timeout=1ms"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			e.erluv = "hider@127.0.0.1"
			t.Cleanup(func() {
				if err := e.stop(); err != nil {
					t.Error(err)
				}
				e.report(t)
			})
			e.expect(t, "ok", "e2e:wait_hidden(E)")
			s := e.session(t)
			s.eval(t, `W = e2e:start(E, ["cat"], #{inherit => ["ERLUV_COOKIE", "HOME"]}), ok = e2e:call(W, {write, "x"})`)
			for _, p := range all() {
				if strings.Contains(cmdline(p.pid), cookie) {
					t.Errorf("the cookie is in the command line of %d: %s", p.pid, cmdline(p.pid))
				}
			}
			r := e.roles(t)
			pids := r.each()
			delete(pids, "main")
			for _, p := range family(r.spawner) {
				pids["program"] = p.pid
			}
			if len(pids) != 3 {
				t.Fatalf("there are %v", pids)
			}
			for name, pid := range pids {
				if place := findInMemory(t, pid, cookie); place != "" {
					t.Errorf("the cookie is in the memory of the %s: %s", name, place)
				}
			}
			maps.Copy(pids, map[string]int{"main": r.main})
			for name, pid := range pids {
				// An undumpable process belongs to root in /proc, for every user that runs it
				// (proc(5)).
				var st unix.Stat_t
				if err := unix.Stat(fmt.Sprintf("/proc/%d/environ", pid), &st); name != "program" && (err != nil || st.Uid != 0) {
					t.Errorf("the %s is dumpable: it belongs to %d, %v", name, st.Uid, err)
				}
			}
			for name, pid := range pids {
				environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
				if err != nil || bytes.Contains(environ, []byte(cookie)) {
					t.Errorf("the environment of the %s is %q, %v", name, environ, err)
				}
			}
			if findInMemory(t, n.cmd.Process.Pid, cookie) == "" {
				t.Error("the cookie is not found in the node's own memory: the search is wrong")
			}
			if err := syscall.Kill(r.child, syscall.SIGABRT); err != nil {
				t.Fatal(err)
			}
			e.fails = true
			if status := e.exits(t, endTime); status != 4 {
				t.Errorf("it ends with status %d", status)
			}
			if text := e.stderr.String(); !strings.Contains(text, "SIGABRT") || strings.Contains(text, cookie) {
				t.Errorf("the cookie is in what is logged, or nothing was: %s", text)
			}
		})
	}
}

// findInMemory looks through all readable pages of a process.
func findInMemory(t *testing.T, pid int, text string) (place string) {
	t.Helper()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	mappings, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mappings.Close()
	read := 0
	buffer := make([]byte, 1<<20)
	for lines := bufio.NewScanner(mappings); lines.Scan(); {
		var from, to int64
		var mode string
		if strings.HasSuffix(lines.Text(), "[vsyscall]") {
			continue // beyond what an int64 holds, and only executable
		}
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if mode[0] != 'r' {
			continue
		}
		// Chunks overlap, so that no text is cut in two.
		for at := from; at < to; at += int64(len(buffer) - len(text)) {
			n, err := mem.ReadAt(buffer[:min(int64(len(buffer)), to-at)], at)
			if err != nil && err != io.EOF && n == 0 {
				break // [vvar] and the like cannot be read
			}
			read += n
			if bytes.Contains(buffer[:n], []byte(text)) {
				return lines.Text()
			}
		}
	}
	if read == 0 {
		t.Fatalf("nothing of the memory of %d could be read", pid)
	}
	return ""
}

// The configuration can name another user than nobody, if erluv runs as root.
//
//erluv:users
func TestUserOfTheWorkers(t *testing.T) {
	n := newNode(t, nodeOptions{})
	n.env = slices.DeleteFunc(n.env, func(v string) bool { return strings.HasPrefix(v, "ERLUV_USER=") }) // it would take precedence
	e := newErluv(t, n, "--user", "daemon")
	want := "1"
	if ordinary {
		want = fmt.Sprint(workerID)
	}
	e.expect(t, want, `
		{ok, #{stdout := Out}} = e2e:call(E, {run, ["id", "-u"], #{}}),
		binary_to_integer(string:trim(Out))`)
	e.expect(t, want, `e2e:call(E, {info, uid})`)
}

// A user who can write to the binary's directory cannot make main execute another file.
//
//erluv:users
func TestRolesAreTheSameBinary(t *testing.T) {
	e := common(t)
	for name, pid := range e.roles(t).each() {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil || filepath.Clean(path) != executable {
			t.Errorf("%s runs %s, %v; want %s", name, path, err, executable)
		}
	}
}
