package dist_test

import (
	"bytes"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// Each message is a question with a form of its answer, or no question.
func TestReadAsk(t *testing.T) {
	pid := etf.Pid{Node: "a@b", ID: 1, Creation: 2}
	ref := etf.Raw(etf.AppendNewRef(nil, "a@b", 2, 3, 4, 5))
	from := func(tag etf.Term) etf.Tuple { return etf.Tuple{pid, tag} }
	alias := etf.Improper{Elems: []etf.Term{etf.Atom("alias")}, Tail: ref}
	reply := func(tag etf.Term) etf.Term { return etf.Tuple{tag, etf.Atom("x")} }
	for name, tc := range map[string]struct {
		msg  etf.Term
		kind dist.AskKind
		want etf.Term // the answer x; nil: not a question
	}{
		"call":             {etf.Tuple{etf.Atom("$gen_call"), from(ref), etf.Atom("r")}, dist.AskCall, reply(ref)},
		"call, alias":      {etf.Tuple{etf.Atom("$gen_call"), from(alias), etf.Atom("r")}, dist.AskCall, reply(alias)},
		"call, any tag":    {etf.Tuple{etf.Atom("$gen_call"), from(etf.Tuple{ref, pid}), etf.Atom("r")}, dist.AskCall, reply(etf.Tuple{ref, pid})},
		"system":           {etf.Tuple{etf.Atom("system"), from(int64(7)), etf.Atom("r")}, dist.AskSystem, reply(int64(7))},
		"label pid":        {etf.Tuple{pid, from(ref), etf.Atom("r")}, dist.AskOther, reply(ref)},
		"label atom":       {etf.Tuple{etf.Atom(""), from(ref), etf.Atom("r")}, dist.AskOther, reply(ref)},
		"label tuple":      {etf.Tuple{etf.Tuple{pid}, from(alias), etf.Atom("r")}, dist.AskOther, reply(alias)},
		"io":               {etf.Tuple{etf.Atom("io_request"), pid, int64(3), etf.Atom("r")}, dist.AskIO, etf.Tuple{etf.Atom("io_reply"), int64(3), etf.Atom("x")}},
		"file":             {etf.Tuple{etf.Atom("file_request"), pid, ref, etf.Atom("r")}, dist.AskFile, etf.Tuple{etf.Atom("file_reply"), ref, etf.Atom("x")}},
		"label, no ref":    {etf.Tuple{etf.Atom("a"), from(etf.Atom("b")), etf.Atom("r")}, 0, nil},
		"no pid":           {etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{etf.Atom("a"), ref}, etf.Atom("r")}, 0, nil},
		"no from":          {etf.Tuple{etf.Atom("$gen_call"), pid, etf.Atom("r")}, 0, nil},
		"from of three":    {etf.Tuple{etf.Atom("system"), etf.Tuple{pid, ref, ref}, etf.Atom("r")}, 0, nil},
		"four, none of it": {etf.Tuple{etf.Atom("request"), pid, ref, etf.Atom("r")}, 0, nil},
		"two":              {etf.Tuple{etf.Atom("system"), from(ref)}, 0, nil},
		"exit":             {etf.Tuple{etf.Atom("EXIT"), pid, etf.Atom("r")}, 0, nil},
		"atom":             {etf.Atom("system"), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := etf.NewReader(encode(t, tc.msg))
			ask, ok := dist.ReadAsk(&r)
			if ok != (tc.want != nil) {
				t.Fatalf("ReadAsk says %v", ok)
			}
			if !ok {
				return
			}
			if req, err := r.Atom(); err != nil || req != "r" || r.Done() != nil {
				t.Errorf("the request is %q, %v", req, err)
			}
			if ask.Kind != tc.kind || ask.From != pid {
				t.Errorf("it is of kind %d from %v", ask.Kind, ask.From)
			}
			frame := dist.End(etf.AppendAtom(ask.BeginAnswer(nil, etf.Pid{Node: "c@d"}), "x"), 0)
			if !bytes.HasSuffix(frame, append([]byte{131}, encode(t, tc.want)...)) {
				t.Errorf("the answer is %q, want %v at its end", frame, tc.want)
			}
			whole := encode(t, tc.msg)
			for n := range whole { // the request may be missing, all else must be there
				r := etf.NewReader(whole[:n])
				if _, ok := dist.ReadAsk(&r); ok && n < len(whole)-len(encode(t, etf.Atom("r"))) {
					t.Errorf("%d bytes of %d are enough", n, len(whole))
				}
			}
		})
	}
}

func encode(t *testing.T, term etf.Term) []byte {
	t.Helper()
	b, err := etf.AppendTerm(nil, term)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
