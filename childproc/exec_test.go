package childproc

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// operated gives a child an operator.
func (n *node) operated() (op *node) {
	link := testLink
	link.ID, link.Target, link.Operator = 1, "erluv_1@control", "uid 0, pid 7"
	return n.give(link)
}

func execOf(program string, opts ...etf.Pair) etf.Term {
	return etf.Tuple{reqExec, etf.List{etf.Binary(program)}, etf.Map(append(opts, unlinked))}
}

// TestExec checks that the program has the host's PATH, unless the request has another.
func TestExec(t *testing.T) {
	n := startChild(t, func(s *ipc.Start) { s.Path = []string{"/usr/bin", "/bin"} })
	op := n.operated()
	for _, c := range []struct {
		want string
		env  etf.Map
	}{
		{"PATH=/usr/bin:/bin\n", nil},
		{"PATH=/bin\n", etf.Map{{Key: etf.Binary("PATH"), Value: etf.Binary("/bin")}}},
	} {
		w := op.await(op.request(execOf("env", opt("env", c.env)))).(etf.Tuple)[1].(etf.Pid)
		op.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary(c.want)}})
		for m := op.message(op.self); !reflect.DeepEqual(m, etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}}); {
			m = op.message(op.self)
		}
	}
}

// TestExecRefused checks that remote_exec = false keeps operators, and nodes with the request exec,
// from starting programs. Other requests of nodes still work.
func TestExecRefused(t *testing.T) {
	n := startChild(t, func(s *ipc.Start) { s.RemoteExec = false })
	op := n.operated()
	no := gen.Error(etf.Atom("remote_exec"))
	command := etf.List{etf.Binary("true")}
	for _, request := range []etf.Term{
		execOf("true"),
		etf.Tuple{reqSpawn, command, etf.Map{}},
		etf.Tuple{reqRun, command, etf.Map{}},
		etf.Tuple{reqPut, etf.Binary("/tmp/x"), etf.Map{}},
	} {
		same(t, op.call(request), no)
	}
	same(t, n.call(execOf("true")), no)
	if answer := n.await(n.request(etf.Tuple{reqRun, command, etf.Map{}})).(etf.Tuple); answer[0] != etf.Atom("ok") {
		t.Error(answer)
	}
}

// TestExecIsLogged checks that an exec is logged, also one from a node.
func TestExecIsLogged(t *testing.T) {
	n, log := startLogging(t, slog.LevelInfo)
	n.await(n.request(execOf("true")))
	log.has("INFO: an operator acts", "act=exec true", "by="+testTarget)
}

// TestClosed checks that an operator's program starts in each state unless standby or stopped was
// requested.
func TestClosed(t *testing.T) {
	for state, name := range map[string]string{
		"launching": "", "connecting": "", "ready": "",
		"launching+standby": "standby", "connecting+standby": "standby", "connecting+stopped": "stopping",
		"standby": "standby", "stopping": "stopping", "stopped": "stopped", "leaving": "stopping",
	} {
		h := host{hostLife: hostAt(t, state)}
		want := etf.Term(nil)
		if name != "" {
			want = gen.Error(etf.Tuple{etf.Atom("node_not_ready"), etf.Atom(name)})
		}
		if got := h.closed(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", state, got, want)
		}
	}
}

// TestOwnProgramsOfAnOperator checks that the acts of an operator on its own program are not
// logged.
func TestOwnProgramsOfAnOperator(t *testing.T) {
	n, log := startLogging(t, slog.LevelInfo)
	op := n.operated()
	w := op.spawned("cat")
	log.has("act=spawn by a shell or a class")
	op.await(op.toWorker(w, etf.Tuple{etf.Atom("write"), etf.Binary("x")}))
	op.await(op.toWorker(w, etf.Tuple{etf.Atom("resize"), int64(1), int64(2)}))
	op.await(op.request(etf.Tuple{etf.Atom("drain"), int64(0)}))
	log.has("act=drain ")
	log.read()
	for _, line := range log.lines {
		if strings.Contains(line, "act=write") || strings.Contains(line, "act=resize") {
			t.Errorf("it says %q", line)
		}
	}
}
