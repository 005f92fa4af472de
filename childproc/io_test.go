package childproc

import (
	"testing"

	"erluv/wire/etf"
	"erluv/wire/gen"
)

// io makes an I/O request. ioAnswer reads its answer.
func (n *node) io(w etf.Pid, req etf.Term) etf.Raw {
	n.t.Helper()
	n.next++
	as := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, n.next, 2, 3))
	n.toPid(w, etf.Tuple{etf.Atom("io_request"), n.self, as, req})
	return as
}

func (n *node) ioAnswer(as etf.Raw, want etf.Term) {
	n.t.Helper()
	n.expect(etf.Tuple{etf.Atom("io_reply"), as, want})
}

func get(what string, more ...etf.Term) etf.Term {
	return append(etf.Tuple{etf.Atom(what), etf.Atom("unicode"), etf.Binary("> ")}, more...)
}

func put(encoding string, chars etf.Term) etf.Term {
	return etf.Tuple{etf.Atom("put_chars"), etf.Atom(encoding), chars}
}

func TestIODevice(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"}, flow(etf.Atom("false")))
	ok := etf.Atom("ok")
	for _, tt := range []struct{ put, get, want etf.Term }{
		{put("unicode", etf.Binary("a line\nand more\n")), get("get_line"), etf.Binary("a line\n")},
		{nil, get("get_line"), etf.Binary("and more\n")},
		{put("unicode", etf.List{etf.Binary("ä"), etf.List{int64('€')}, int64('\n')}), get("get_chars", int64(2)), etf.Binary("ä€")},
		{nil, get("get_chars", int64(0)), etf.Binary("")},
		{nil, get("get_line"), etf.Binary("\n")},
		// Bytes stay bytes.
		{put("latin1", etf.Binary("\xff\xfe")), etf.Tuple{etf.Atom("get_chars"), etf.Atom("latin1"), etf.Binary(""), int64(2)}, etf.Binary("\xff\xfe")},
		{put("unicode", etf.Binary("\xff")), nil, gen.Error(atoms("no_translation", "unicode", "unicode"))},
		{nil, etf.Atom("getopts"), etf.List{atoms("binary", "true"), atoms("encoding", "unicode")}},
		{nil, etf.Tuple{etf.Atom("setopts"), etf.List{etf.Atom("list"), atoms("encoding", "latin1")}}, ok},
		{put("unicode", etf.List{int64(228), int64('\n')}), get("get_line"), etf.String("\xe4\n")},
		{put("unicode", etf.List{int64('€')}), nil, gen.Error(atoms("no_translation", "unicode", "latin1"))},
		{nil, etf.Tuple{etf.Atom("setopts"), etf.List{atoms("encoding", "ebcdic")}}, gen.Error(etf.Atom("enotsup"))},
		{nil, etf.Tuple{etf.Atom("setopts"), etf.List{etf.Atom("binary"), atoms("encoding", "utf8")}}, ok},
		{nil, atoms("get_geometry", "rows"), gen.Error(etf.Atom("enotsup"))},
		{nil, etf.Atom("nonsense"), gen.Error(etf.Atom("request"))},
		{nil, etf.Tuple{etf.Atom("requests"), etf.List{put("unicode", etf.Binary("x")), put("latin1", etf.Binary("y\n")), get("get_line")}}, etf.Binary("xy\n")},
		{nil, etf.Tuple{etf.Atom("requests"), etf.List{etf.Atom("nonsense"), get("get_line")}}, gen.Error(etf.Atom("request"))},
	} {
		if tt.put != nil {
			want := etf.Term(ok)
			if tt.get == nil {
				want = tt.want
			}
			n.ioAnswer(n.io(w, tt.put), want)
		}
		if tt.get != nil {
			n.ioAnswer(n.io(w, tt.get), tt.want)
		}
	}
	// At the end of the file, the rest comes first, then eof.
	n.ioAnswer(n.io(w, put("unicode", etf.Binary("last"))), ok)
	same(t, n.workerCall(w, atoms("close", "stdin")), ok)
	n.ioAnswer(n.io(w, get("get_line")), etf.Binary("last"))
	n.ioAnswer(n.io(w, get("get_line")), etf.Atom("eof"))
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
}

func TestIOWhileOutputIsSent(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"})
	n.ioAnswer(n.io(w, get("get_line")), gen.Error(etf.Atom("active")))
	// io:format/3 puts the result of a function of the node.
	as := n.io(w, etf.Tuple{
		etf.Atom("put_chars"), etf.Atom("unicode"), etf.Atom("io_lib"), etf.Atom("format"), etf.List{etf.Binary("~p"), etf.List{int64(1)}},
	})
	to, call := n.question()
	same(t, call[1], etf.Atom("io_lib"))
	n.toPid(to, etf.Tuple{etf.Atom("rex"), etf.String("1")})
	n.ioAnswer(as, etf.Atom("ok"))
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("1")}})
}

// TestGetUntil plays the node whose function looks for the end, in two steps.
func TestGetUntil(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"}, flow(etf.Atom("false")))
	as := n.io(w, get("get_until", etf.Atom("io_lib"), etf.Atom("fread"), etf.List{etf.String("~d")}))
	n.ioAnswer(n.io(w, put("unicode", etf.Binary("12"))), etf.Atom("ok"))
	to, call := n.question()
	same(t, call[3], etf.List{etf.List(nil), etf.List{int64('1'), int64('2')}, etf.String("~d")})
	// Meanwhile another request waits for its turn.
	line := n.io(w, get("get_line"))
	n.toPid(to, etf.Tuple{etf.Atom("rex"), etf.Tuple{etf.Atom("more"), etf.Atom("cont")}})
	n.ioAnswer(n.io(w, put("unicode", etf.Binary("3 rest\n"))), etf.Atom("ok"))
	to, call = n.question()
	same(t, call[3].(etf.List)[0], etf.Atom("cont"))
	n.toPid(to, etf.Tuple{etf.Atom("rex"), etf.Tuple{etf.Atom("done"), gen.OK(etf.List{int64(123)}), etf.String(" rest\n")}})
	n.ioAnswer(as, gen.OK(etf.List{int64(123)}))
	n.ioAnswer(line, etf.Binary(" rest\n"))
}
