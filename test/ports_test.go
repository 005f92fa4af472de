package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// TestPorts shows the column "port" of README.md: open_port of OTP, without erluv.
//
//erluv:releases
func TestPorts(t *testing.T) {
	n := newNode(t, nodeOptions{})
	mark := newMark()
	// The programs that are left behind are the test's own.
	t.Cleanup(func() {
		for _, p := range marked(mark) {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	})
	s := n.session(t)
	s.eval(t, bind{"Mark": mark}.String()+`
		Open = fun(Script) ->
			open_port({spawn_executable, "/bin/sh"}, [{args, ["-c", Script]}, binary, exit_status, {env, [{"CHAOS", binary_to_list(Mark)}]}])
		end`)
	n.expect(t, "true", `
		Port = open_port({spawn_executable, "/usr/bin/yes"}, [binary, stream]),
		e2e:until(fun() -> {message_queue_len, N} = process_info(self(), message_queue_len), N > 1000 end),
		port_close(Port)`)
	// Only closing the port ends the input of sort, and the output of sort is then lost.
	s.expect(t, "nothing", `
		Sort = Open("sort"), port_command(Sort, "b\na\n"), port_close(Sort),
		receive {Sort, {data, _}} -> sorted after 500 -> nothing end`)
	eventually(t, "sort has ended", func() bool { return len(marked(mark)) == 0 })
	// The program watches its stdin, and its descendant does not.
	s.expect(t, "true", `Both = Open("sleep 1000 & echo; exec cat"), receive {Both, {data, _}} -> port_close(Both) end`)
	eventually(t, "the descendant alone is left", func() bool { return len(marked(mark)) == 1 })
	s.expect(t, `<<"terminal\n">>`, `One = Open("if test -t 0; then echo; else echo no terminal >&2; echo terminal; fi"),
		receive {One, {data, Data}} -> Data end`)
	s.expect(t, "true", `Alone = Open("echo; exec sleep 1000"), receive {Alone, {data, _}} -> is_port(Alone) end`)
	// While a program executes another one, its environment cannot be read.
	asleep := func() (all []process) {
		for _, p := range marked(mark) {
			if strings.HasPrefix(cmdline(p.pid), "sleep") {
				all = append(all, p)
			}
		}
		return all
	}
	eventually(t, "two programs sleep", func() bool { return len(asleep()) == 2 })
	n.killed = true
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-n.done
	if left := asleep(); len(left) != 2 {
		t.Errorf("the killed node leaves %v, want two programs", left)
	}
}
