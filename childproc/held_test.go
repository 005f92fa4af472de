package childproc

import (
	"os"
	"path/filepath"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// await skips frames until the answer with this tag comes.
func (n *node) await(tag etf.Raw) etf.Term {
	n.t.Helper()
	for {
		if answer, came := n.answers[string(tag)]; came { // it came while another was awaited
			return answer
		}
		m := n.recv()
		if m.Op == dist.RegSend && m.Name == "rex" {
			n.questions = append(n.questions, m.From)
		}
		if m.Op != dist.Send || m.To != n.self {
			continue
		}
		v, err := etf.Decode(m.Payload)
		must(n.t, err)
		tu := v.(etf.Tuple)
		if of, ok := tu[len(tu)-2].(etf.Raw); ok { // {Tag, _}, {io_reply, Tag, _}
			if n.answers == nil {
				n.answers = map[string]etf.Term{}
			}
			n.answers[string(of)] = tu[len(tu)-1]
		}
	}
}

// awaitQuestion skips frames until a question comes.
func (n *node) awaitQuestion() etf.Pid {
	n.t.Helper()
	for len(n.questions) == 0 {
		if m := n.recv(); m.Op == dist.RegSend && m.Name == "rex" {
			n.questions = append(n.questions, m.From)
		}
	}
	to := n.questions[0]
	n.questions = n.questions[1:]
	return to
}

// heldBytes is how much of the budget is in use.
func (n *node) heldBytes() int64 {
	n.t.Helper()
	for range 2 { // the first one's round has ended when the second is answered
		n.await(n.request(etf.Atom("workers")))
	}
	return n.held.Load()
}

func (n *node) request(req etf.Term) etf.Raw {
	n.t.Helper()
	return n.ask(func(m etf.Term) { n.toName("erluv", m) }, req)
}

func (n *node) toWorker(w etf.Pid, req etf.Term) etf.Raw {
	n.t.Helper()
	return n.ask(func(m etf.Term) { n.toPid(w, m) }, req)
}

func (n *node) system(w etf.Pid, req etf.Term) etf.Raw {
	n.t.Helper()
	n.next++
	tag := etf.Raw(etf.AppendNewRef(nil, n.name, 9, n.next, 2, 3))
	n.toPid(w, etf.Tuple{etf.Atom("system"), etf.Tuple{n.self, tag}, req})
	return tag
}

// heldCase is a call that waits.
type heldCase struct {
	script string     // of the called worker; it goes on when the file exists
	opts   []etf.Pair // options of the worker
	call   func(n *node, w etf.Pid) []etf.Raw
	answer func(n *node, w etf.Pid) // causes the answer; nil: the file does
	rex    bool                     // it waits for an answer of the node
	stays  bool                     // a share is held for the worker as long as it lives
}

func one(tag etf.Raw) []etf.Raw { return []etf.Raw{tag} }

// waitsFor is a script that goes on when the file exists.
const waitsFor = `while [ ! -e "$GO" ]; do sleep 0.01; done; `

func heldCases(file string) map[string]heldCase {
	passive := []etf.Pair{flow(etf.Atom("false"))}
	large := etf.Binary(make([]byte, 1<<20)) // more than a pipe holds
	env := opt("env", etf.Map{{Key: etf.Binary("GO"), Value: etf.Binary(file)}, {Key: etf.Binary("PATH"), Value: etf.Binary("/bin:/usr/bin")}})
	start := func(what, script string, opts ...etf.Pair) func(n *node, w etf.Pid) []etf.Raw {
		return func(n *node, _ etf.Pid) []etf.Raw {
			return one(n.request(etf.Tuple{etf.Atom(what), etf.Binary(script), append(etf.Map{env}, opts...)}))
		}
	}
	result := func(t etf.Term) func(n *node, w etf.Pid) {
		return func(n *node, _ etf.Pid) { n.toPid(n.awaitQuestion(), etf.Tuple{etf.Atom("rex"), t}) }
	}
	return map[string]heldCase{
		"write": {script: waitsFor + "cat >/dev/null", call: func(n *node, w etf.Pid) []etf.Raw {
			return one(n.toWorker(w, etf.Tuple{etf.Atom("write"), large}))
		}},
		"read": {script: waitsFor + "echo x; sleep 100", opts: passive, call: func(n *node, w etf.Pid) []etf.Raw {
			read := etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(1)}
			return []etf.Raw{n.toWorker(w, read), n.toWorker(w, read)}
		}},
		"read of lines": {script: waitsFor + "echo x; sleep 100", opts: append(passive, opt("packet", etf.Atom("line"))), call: func(n *node, w etf.Pid) []etf.Raw {
			return one(n.toWorker(w, etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(1)}))
		}},
		"log": {script: waitsFor + "echo x; sleep 100", opts: []etf.Pair{opt("keep", etf.Atom("true"))}, call: func(n *node, w etf.Pid) []etf.Raw {
			wait := logRequestOf(w, "wait", maxFollow.Milliseconds())
			return []etf.Raw{n.request(wait), n.request(wait)}
		}},
		"stop": {script: waitsFor, call: func(n *node, w etf.Pid) []etf.Raw {
			return []etf.Raw{n.toWorker(w, etf.Atom("stop")), n.toWorker(w, etf.Atom("stop"))}
		}},
		"drain": {script: waitsFor, call: func(n *node, _ etf.Pid) []etf.Raw {
			return []etf.Raw{n.request(etf.Tuple{etf.Atom("drain"), etf.Atom("infinity")}), n.request(etf.Tuple{etf.Atom("drain"), int64(600_000)})}
		}},
		"long reason": {script: waitsFor, call: func(n *node, w etf.Pid) []etf.Raw {
			n.write(dist.AppendExit2(nil, n.self, w, gen.Encode(etf.Binary(make([]byte, 1000)))))
			return one(n.toWorker(w, etf.Atom("stop")))
		}},
		"put_chars": {script: waitsFor + "cat >/dev/null", call: func(n *node, w etf.Pid) []etf.Raw { return one(n.io(w, put("latin1", large))) }},
		"get_line":  {script: waitsFor + "echo x; sleep 100", opts: passive, call: func(n *node, w etf.Pid) []etf.Raw { return one(n.io(w, get("get_line"))) }},
		"requests": {script: waitsFor + "echo x; sleep 100", opts: passive, call: func(n *node, w etf.Pid) []etf.Raw {
			return one(n.io(w, etf.Tuple{etf.Atom("requests"), etf.List{etf.Atom("getopts"), get("get_line"), etf.Atom("getopts")}}))
		}},
		"get_until": {
			script: "echo x; read line; echo $line; sleep 100", opts: passive, rex: true,
			call: func(n *node, w etf.Pid) []etf.Raw {
				tag := n.io(w, get("get_until", etf.Atom("m"), etf.Atom("f"), etf.List(nil)))
				result(etf.Tuple{etf.Atom("more"), etf.Binary(make([]byte, 1000))})(n, w)
				n.await(n.toWorker(w, etf.Tuple{etf.Atom("write"), etf.Binary("y\n")}))
				result(etf.Tuple{etf.Atom("more"), etf.Binary(make([]byte, 1000))})(n, w)
				n.toWorker(w, etf.Tuple{etf.Atom("signal"), etf.Atom("group"), etf.Atom("sigkill")})
				return one(tag)
			},
			answer: result(etf.Tuple{etf.Atom("done"), int64(1), etf.List(nil)}),
		},
		"get_state": {
			script: "sleep 100", rex: true,
			call: func(n *node, w etf.Pid) []etf.Raw {
				return []etf.Raw{n.system(w, etf.Atom("get_state")), n.system(w, etf.Atom("get_state"))}
			},
			answer: result(gen.OK(etf.String("6.2"))),
		},
		"spawn with a line to be ready": {
			call:  start("spawn", waitsFor+"echo ready; sleep 100", opt("ready", etf.Tuple{etf.Atom("line"), etf.Binary("^ready")})),
			stays: true,
		},
		"spawn with a proxy": {
			call:   start("spawn", "sleep 100", opt("proxy", etf.Tuple{etf.Atom("m"), etf.Atom("f"), etf.List{large}})),
			answer: result(etf.Atom("none")), rex: true,
		},
		"spawn that is started again": {
			call: func(n *node, w etf.Pid) []etf.Raw {
				n.await(start("spawn", waitsFor+"sleep 100", opt("restart", etf.Atom("permanent")))(n, w)[0])
				return nil
			},
			stays: true,
		},
		"run":    {call: start("run", waitsFor)},
		"chunk":  stalledUpload(filepath.Join(filepath.Dir(file), "put"), etf.Tuple{etf.Atom("chunk"), int64(0), large}),
		"commit": stalledUpload(filepath.Join(filepath.Dir(file), "put"), etf.Tuple{etf.Atom("commit"), etf.Atom("none")}),
	}
}

// stalledUpload is a call to an upload whose process is stopped.
func stalledUpload(file string, req etf.Term) heldCase {
	var pid int
	return heldCase{
		call: func(n *node, _ etf.Pid) []etf.Raw {
			u := n.await(n.request(etf.Tuple{etf.Atom("put_file"), etf.Binary(file), etf.Map{}})).(etf.Tuple)[1].(etf.Pid)
			for _, p := range n.await(n.toWorker(u, etf.Atom("info"))).(etf.Map) {
				if p.Key == etf.Atom("os_pid") {
					pid = int(p.Value.(int64))
				}
			}
			must(n.t, unix.Kill(pid, unix.SIGSTOP))
			return one(n.toWorker(u, req))
		},
		answer: func(n *node, _ etf.Pid) { must(n.t, unix.Kill(pid, unix.SIGCONT)) },
	}
}

// TestHeldOfRefusals checks that a request which is refused, late or at once, holds nothing.
func TestHeldOfRefusals(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sleep", "100"})
	for _, req := range []etf.Tuple{
		{etf.Atom("spawn"), etf.List{etf.Binary("/nonexistent")}, etf.Map{opt("restart", etf.Atom("permanent"))}},
		{etf.Atom("spawn"), etf.Binary("exit 3"), etf.Map{opt("ready", etf.Tuple{etf.Atom("line"), etf.Binary("^ready")})}},
		{etf.Atom("run"), etf.List{etf.Binary("/nonexistent")}, etf.Map{opt("input", etf.Binary("x"))}},
		{etf.Atom("watch"), etf.Binary("/nonexistent"), etf.Map{}},
		{etf.Atom("put_file"), etf.Binary("/nonexistent/file"), etf.Map{}},
	} {
		got, ok := n.await(n.request(req)).(etf.Tuple)
		if !ok || got[0] != etf.Atom("error") {
			t.Fatalf("%#v: %#v", req, got)
		}
		if held := n.heldBytes(); held != 0 {
			t.Errorf("%#v: %d bytes are held", req, held)
		}
	}
	n.await(n.toWorker(w, etf.Tuple{etf.Atom("write"), int64(9), etf.Binary("x")}))
	n.await(n.toWorker(w, etf.Tuple{etf.Atom("signal"), etf.Atom("nonsense")}))
	if held := n.heldBytes(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// TestHeldIsGivenBack checks that a caller's share is given back when it is answered, when the
// worker is killed, and when the node is gone.
func TestHeldIsGivenBack(t *testing.T) {
	for name := range heldCases("") {
		for _, end := range []string{"answered", "killed", "node gone"} {
			if heldCases("")[name].rex && end == "node gone" {
				continue // a question has its own timeout, rexTimeout
			}
			t.Run(name+"/"+end, func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "go")
				testHeld(t, heldCases(file)[name], file, end)
			})
		}
	}
}

func testHeld(t *testing.T, tt heldCase, file, end string) {
	n := startChild(t, keepsLogs)
	var w etf.Pid
	if tt.script != "" {
		env := etf.Map{{Key: etf.Binary("GO"), Value: etf.Binary(file)}, {Key: etf.Binary("PATH"), Value: etf.Binary("/bin:/usr/bin")}}
		w = n.spawn([]string{"/bin/sh", "-c", tt.script}, append(tt.opts, opt("env", env), opt("kill_signal", etf.Atom("sigwinch")))...) // a signal that ends nothing
	}
	if held := n.heldBytes(); held != 0 {
		t.Fatalf("%d bytes are held before the call", held)
	}
	tags := tt.call(n, w)
	if held := n.heldBytes(); held == 0 {
		t.Fatal("nothing is held for the call")
	}
	answer := func() {
		if tt.answer != nil {
			tt.answer(n, w)
			return
		}
		must(t, os.WriteFile(file, nil, 0o600))
	}
	switch end {
	case "answered":
		answer()
		for _, tag := range tags {
			n.await(tag)
		}
	case "killed":
		n.await(n.request(etf.Atom("workers")))
		for _, p := range n.await(n.request(etf.Atom("workers"))).(etf.List) {
			n.write(dist.AppendExit2(nil, n.self, p.(etf.Tuple)[0].(etf.Pid), gen.Kill))
		}
		if tt.rex {
			answer()
		}
		for len(n.await(n.request(etf.Atom("workers"))).(etf.List)) > 0 {
		}
	case "node gone":
		must(t, n.conn.Close())
		n.mainHears()
		err := <-n.done
		n.done <- err
		must(t, err)
		if held := n.m.held.bytes; held != 0 {
			t.Errorf("%d bytes are held", held)
		}
		return
	}
	if held := n.heldBytes(); (held != 0) != (tt.stays && end == "answered") {
		t.Errorf("%d bytes are held", held)
	}
}
