package childproc

import (
	"log/slog"
	"strings"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// TestAudit checks that an operator's acts are logged with the operator's identity, and without
// data. A node's acts are not logged.
func TestAudit(t *testing.T) {
	n, log := startLogging(t, slog.LevelInfo)
	link := testLink
	link.ID, link.Target, link.Operator = 1, "erluv_1@control", "uid 0, pid 7"
	op := n.give(link)
	w, v, ended := n.spawn([]string{"cat"}), n.spawn([]string{"cat"}), n.spawn([]string{"cat"})
	op.call(etf.Atom("info"))
	op.call(etf.Tuple{etf.Atom("info"), etf.Atom("node")})
	op.call(etf.Atom("workers"))
	op.call(etf.Tuple{etf.Atom("status"), etf.Atom("get")})
	op.call(etf.Tuple{etf.Atom("meta"), etf.Atom("get")})
	op.workerCall(w, etf.Atom("info"))
	n.workerCall(w, etf.Tuple{etf.Atom("signal"), etf.Atom("sigcont")})
	n.await(n.toWorker(ended, etf.Atom("stop")))
	log.read()
	if strings.Contains(strings.Join(log.lines, "\n"), "operator") {
		t.Errorf("looks and a node's acts are logged:\n%s", strings.Join(log.lines, "\n"))
	}
	by := "by=uid 0, pid 7"
	here := "worker=" + process(w).String()
	op.workerCall(w, etf.Tuple{etf.Atom("signal"), etf.Atom("sigcont")})
	log.has("INFO: an operator acts", "act=signal sigcont ", by, here)
	op.workerCall(w, etf.Tuple{etf.Atom("signal"), etf.Atom("group"), etf.Atom("sigcont")})
	log.has("act=signal group sigcont ", by, here)
	op.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary(secret)})
	log.has("act=write ", by, here)
	op.await(op.request(etf.Tuple{etf.Atom("run"), etf.List{etf.Binary("true"), etf.Binary(secret)}, etf.Map{}}))
	log.has("act=run true ", by, "process=erluv")
	op.await(op.request(etf.Tuple{etf.Atom("run"), etf.Binary("true " + secret), etf.Map{}}))
	log.has("act=run by a shell or a class ", by)
	op.await(op.request(etf.Tuple{etf.Atom("run"), etf.List{etf.Atom("x"), etf.Binary(secret)}, etf.Map{}}))
	log.has("act=run something that is no program ", by)
	op.call(etf.Tuple{etf.Atom("status"), etf.Atom("set"), etf.Atom("ready")})
	log.has("act=status set ready ", by)
	op.await(op.request(etf.Tuple{int64(1), int64(2)}))
	log.has("act=request ", by, "process=erluv")
	op.ioAnswer(op.io(w, etf.Tuple{etf.Atom("put_chars"), etf.Atom("unicode"), etf.Binary(secret)}), etf.Atom("ok"))
	log.has("act=io put_chars ", by, here)
	op.workerCall(w, etf.Atom("stop"))
	log.has("act=stop ", by, here)
	op.toPid(v, etf.Tuple{op.self, etf.Tuple{etf.Atom("command"), etf.Binary(secret)}})
	log.has("act=message ", by, "worker="+process(v).String())
	op.write(dist.AppendExit2(nil, op.self, v, etf.Raw(etf.AppendAtom(nil, "kill"))))
	log.has("act=exit ", by, "worker="+process(v).String())
	for _, line := range log.lines {
		if strings.Contains(line, secret) {
			t.Errorf("it says %q", line)
		}
	}
}
