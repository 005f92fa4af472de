package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"erluv/overview"
	"erluv/wire/client"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSeries(t *testing.T) {
	s := newSeries(0)
	if s.line(60, 20, 1) != "" || area("", 60, 20) != "" || s.most() != 0 {
		t.Error("something is drawn of what is not known")
	}
	s.put(1000, 1)
	s.put(2000, 3) // the largest of a slot
	s.put(3000, 2)
	if s.most() != 3 || s.from != slots-1 || s.line(59, 20, 6) != "M58 10H59" {
		t.Errorf("%v from %d, %s", s.most(), s.from, s.line(59, 20, 6))
	}
	s.put(10_000, 6)
	if got := s.line(59, 20, 6); got != "M57 10H58L59 1" {
		t.Errorf("%s", got)
	}
	if got := area(s.line(59, 20, 6), 59, 20); got != "M57 10H58L59 1V20H57Z" {
		t.Errorf("%s", got)
	}
	for at := int64(20_000); at < 1_000_000; at += slot {
		s.put(at, 6)
	}
	if s.from != 0 || s.line(59, 20, 6) != "M0 1H59" {
		t.Errorf("what does not change is %q", s.line(59, 20, 6))
	}
	s.put(10_000_000, 0) // no measurement for a long time
	if got := s.line(59, 20, 6); got != "M0 1H58L59 19" {
		t.Errorf("%s", got)
	}
	s.put(9_000_000, 1) // a clock does not go back, but nothing breaks if it does
}

func TestScales(t *testing.T) {
	for v, want := range map[float64]float64{0: 0.1, 0.05: 0.1, 0.3: 0.5, 1: 2, 4: 5, 7: 10} {
		if got := niceTop(v, 0.1); got < want*0.999 || got > want*1.001 {
			t.Errorf("%v: %v, want %v", v, got, want)
		}
	}
	for v, want := range map[float64]float64{0: 1024, 1 << 20: 1 << 21, 1.5 * (1 << 20): 1 << 21} {
		if got := niceBytes(v); got != want {
			t.Errorf("%v: %v, want %v", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10 * 1024: "10 KiB", 1 << 30: "1.0 GiB"} {
		if got := bytesOf(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0 %", 0.004: "0.4 %", 0.5: "50 %", 2: "200 %"} {
		if got := percentOf(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestAskedFor(t *testing.T) {
	for query, want := range map[string]string{
		"": "/", "order=size&reverse=2&from=-1": "/", "order=memory": "/?order=memory",
		"order=name&reverse=1&find=+a%26b+&from=100": "/?find=a%26b&from=100&order=name&reverse=1",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := askedFor(q).address(); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}

// filled makes a handler that knows a number of programs.
func filled(programs int) *handler {
	b := newBoard(func(context.Context) (caller, string, error) { return nil, "", errors.New("nobody is there") })
	b.node, b.trouble, b.known.Looked = "e@h", "", true
	b.known.Sums = overview.Sums{Status: "ready", Uptime: 1000, Roles: []overview.Role{{Name: "main", PID: 1}}}
	for i := range programs {
		b.known.Programs = append(b.known.Programs, &overview.Program{Worker: etf.Pid{ID: uint32(i + 1)}, Command: []string{"/bin/sleep", "secret"}, State: "running", Measured: 1})
	}
	return &handler{board: b, given: Given{Token: "t", Acts: true}}
}

// TestPages: a page has a bounded number of programs, and links to the other pages.
func TestPages(t *testing.T) {
	h := filled(2*pageRows + 5)
	for from, want := range map[int]struct {
		first, last    int
		before, behind string
	}{
		0:        {1, 100, "", "/?from=100"},
		100:      {101, 200, "/", "/?from=200"},
		200:      {201, 205, "/?from=100", ""},
		77777777: {201, 205, "/?from=100", ""},
	} {
		v := h.listView(asked{by: overview.ByCPU, from: from}, false)
		if v.First != want.first || v.Last != want.last || v.Before != want.before || v.Behind != want.behind || len(v.Rows) != want.last-want.first+1 {
			t.Errorf("from %d: %d to %d, %q, %q", from, v.First, v.Last, v.Before, v.Behind)
		}
	}
	if v := h.listView(asked{by: overview.ByName, find: "SLEEP"}, false); v.Total != 205 {
		t.Errorf("%d are found", v.Total)
	}
	if v := h.listView(asked{by: overview.ByName, find: "secret"}, false); v.Total != 0 || v.First != 0 {
		t.Errorf("by its arguments, which are not shown, %d are found", v.Total)
	}
	if v, ok := h.programView("7.0", false); !ok || v.Full != nil || v.Command != "sleep" {
		t.Errorf("%+v", v)
	}
	if v, ok := h.programView("7.0", true); !ok || len(v.Full) != 2 {
		t.Errorf("%+v", v)
	}
	if _, ok := h.programView("7777.0", true); ok {
		t.Error("there is a program that there is not")
	}
}

// TestChanges: only changes are sent. The table is sent as a whole if its order has changed.
func TestChanges(t *testing.T) {
	h, sent := filled(3), map[string]string{}
	ids := func() (list []string) {
		t.Helper()
		p, _ := h.changing(asked{by: overview.ByName}, "", false, nil)
		changed, err := p.since(sent)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range changed {
			if f.ID == "rows" && strings.Count(f.HTML, "<tr") != len(h.board.known.Programs) {
				t.Errorf("the table is %s", f.HTML)
			}
			list = append(list, f.ID)
		}
		return list
	}
	list := h.board.known.Programs
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "trouble node count rows"},
		{func() {}, ""},
		{func() { list[1].Restarts++ }, "p-2-0"},
		{func() { list[0].Name = "z" }, "rows"},
		{func() { h.board.known.Programs = list[:2] }, "count rows"},
		{func() { h.board.trouble = "x" }, "trouble"},
	} {
		step.do()
		if got := strings.Join(ids(), " "); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if len(sent) != 4+2 {
		t.Errorf("%d parts are remembered", len(sent))
	}

	// A page that gets its first changes may show programs that have ended.
	h, sent = filled(0), map[string]string{}
	p, _ := h.changing(asked{}, "", false, nil)
	changed, err := p.since(sent)
	if err != nil || changed[len(changed)-1].HTML != `<tbody id="rows"></tbody>` {
		t.Errorf("without programs: %v, %v", changed, err)
	}
	if again, err := p.since(sent); err != nil || len(again) != 0 {
		t.Errorf("again: %v, %v", again, err)
	}
}

func TestOurs(t *testing.T) {
	h := &handler{given: Given{Names: []string{"erluv.example"}}}
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:4380": true, "[::1]:4380": true, "::1": true, "localhost:1": true, "LOCALHOST": true, "Erluv.Example:80": true,
		"": false, "erluv.example.org": false, "127.0.0.1.example": false, "localhost.": false,
	} {
		if h.ours(host) != want {
			t.Errorf("%q", host)
		}
	}
	if h.knows("") {
		t.Error("no token is one")
	}
}

// TestMetricsAreBounded: a bounded number of programs have metrics of their own. A name does not
// break out of its label.
func TestMetricsAreBounded(t *testing.T) {
	h := filled(3 * maxNamed)
	for _, p := range h.board.known.Programs {
		p.Name = "a\"b\\c\nd" + p.Number()
	}
	text := metricsOf(h.board.known, "e@h", true, true)
	if n := strings.Count(text, "\nerluv_worker_restarts_total{"); n != maxNamed {
		t.Errorf("%d have metrics", n)
	}
	if !strings.Contains(text, `erluv_worker_restarts_total{name="a\"b\\c\nd1.0"} 0`) || !strings.Contains(text, "erluv_workers_with_metrics 100\n") {
		t.Error(text)
	}
	if text := metricsOf(h.board.known, "e@h", false, false); strings.Count(text, "\n") != 3 || !strings.HasSuffix(text, "erluv_up 0\n") {
		t.Errorf("without erluv: %s", text)
	}
}

// TestViewersAreBounded: one more page than the bound gets no live changes.
func TestViewersAreBounded(t *testing.T) {
	h := filled(1)
	h.viewers = make(chan struct{}, 1)
	h.viewers <- struct{}{}
	w := httptest.NewRecorder()
	h.events(w, httptest.NewRequest("GET", "/events", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", w.Code)
	}
}

// output is an answer to a request for output: texts of streams, then the position.
func output(next, lost int64, pieces ...string) etf.Term {
	list := etf.List{}
	for i := 0; i < len(pieces); i += 2 {
		list = append(list, etf.Tuple{int64(i), etf.Atom(pieces[i]), etf.Binary(pieces[i+1])})
	}
	return etf.Tuple{etf.Atom("ok"), etf.Map{
		{Key: etf.Atom("output"), Value: list},
		{Key: etf.Atom("next"), Value: next},
		{Key: etf.Atom("lost"), Value: lost},
	}}
}

func texts(list []Line) string {
	var b strings.Builder
	for _, l := range list {
		b.WriteString(l.Class[3:] + ":" + l.Text + "|")
	}
	return b.String()
}

// TestTail: output becomes lines, of each stream by itself, as many as a page has.
func TestTail(t *testing.T) {
	b := newBoard(nil)
	w := etf.Pid{ID: 1}
	tail := b.watch(w)
	if !tail.take(output(7, 100, "stdout", "a\nb", "stderr", "x", "stdout", "c\r\n", "stderr", "\nend")) {
		t.Fatal("it is not taken")
	}
	if got := texts(tail.lines); got != "out:a|out:bc|err:x|" {
		t.Error(got)
	}
	if got := texts(tail.unended()); got != "err:end|" {
		t.Error(got)
	}
	if got := tail.query(); len(got) != 2 || got[1].Value != int64(7) {
		t.Error(got)
	}
	if !tail.take(output(9, 2, "stderr", "\n")) || texts(tail.lines) != "out:a|out:bc|err:x|t:2 bytes are missing here: they came faster than they were shown|err:end|" {
		t.Error(texts(tail.lines))
	}
	tail.put(0, []byte(strings.Repeat("y\n", 5*tailLines)+strings.Repeat("long", 10_000)+"\n"))
	if last := tail.lines[tailLines-1].Text; len(tail.lines) != tailLines || tail.count != 5+5*tailLines+1 || len(last) > lineBytes+10 || !strings.HasSuffix(last, "long …") {
		t.Errorf("%d lines of %d, %s", len(tail.lines), tail.count, last)
	}
	for _, wrong := range []etf.Term{etf.Atom("ok"), etf.Tuple{etf.Atom("ok"), etf.Atom("x")}, etf.Tuple{etf.Atom("ok"), etf.Map{{Key: etf.Atom("next"), Value: int64(1)}, {Key: etf.Atom("output"), Value: etf.List{etf.Atom("x")}}}}} {
		if tail.take(wrong) {
			t.Errorf("%v is taken", wrong)
		}
	}
	for i := range 3 * maxTails {
		if got := b.watch(etf.Pid{ID: uint32(i)}); (got != nil) != (i < maxTails) {
			t.Fatalf("tail %d: %v", i, got)
		}
	}
	if v := b.outputOf(etf.Pid{ID: 7777}, true); v.Why == "" {
		t.Error("one too many is followed")
	}
	if v := b.outputOf(w, false); v.Lines != nil || !strings.Contains(v.Why, "token") {
		t.Errorf("without the token: %v", v)
	}
	for reason, want := range map[etf.Atom]string{"not_kept": "keep", "noproc": "lost", "x": "does not say"} {
		tail := b.watch(etf.Pid{ID: 1})
		tail.read = false
		if tail.refuse(reason); !strings.Contains(tail.why, want) {
			t.Errorf("%s: %s", reason, tail.why)
		}
	}
}

// TestPlain: a page shows what a program writes for a terminal as text.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb": "a\tb", "\x1b[1;31mred\x1b[0m": "red", "\x1b[2K\x1b[Gx": "x", "\x1b]0;title\a": `\x1b]0;title\a`, "\x1b[": `\x1b[`,
		"a\rb\r": `a\rb`, "\xff": `\xff`, "ä\u202e": "ä" + `\u202e`, "<b>": "<b>",
		strings.Repeat("a", lineBytes-1) + "ää": strings.Repeat("a", lineBytes-1) + " …",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestOutputIsSentOnce: a page gets what it has as a whole, then what is new.
func TestOutputIsSentOnce(t *testing.T) {
	h, sent := filled(1), map[string]string{}
	p := h.board.known.Programs[0]
	next := func(text string) (list []string) {
		t.Helper()
		h.board.watch(p.Worker).put(0, []byte(text))
		var worker etf.Pid
		c, ok := h.changing(asked{}, p.Number(), true, &worker)
		changed, err := c.since(sent)
		if err != nil || !ok || worker != p.Worker {
			t.Fatal(err, ok, worker)
		}
		for _, f := range changed {
			if strings.HasPrefix(f.ID, "output") {
				list = append(list, fmt.Sprint(f.ID, f.More, " ", f.HTML))
			}
		}
		return list
	}
	for i, step := range []struct{ text, want string }{
		{"a\n", `[output-whyfalse <p id="output-why" hidden></p> output-openfalse <div id="output-open"></div> output-linesfalse <div id="output-lines" data-most="200"><div class="stdout">a</div></div>]`},
		{"", "[]"},
		{"<i>", `[output-openfalse <div id="output-open"><div class="stdout">&lt;i&gt;</div></div>]`},
		{"b\nc\n", `[output-openfalse <div id="output-open"></div> output-linestrue <div class="stdout">&lt;i&gt;b</div><div class="stdout">c</div>]`},
	} {
		if got := fmt.Sprint(next(step.text)); got != step.want {
			t.Errorf("step %d: %s\nwant %s", i, got, step.want)
		}
	}
	next(strings.Repeat("x\n", 10*tailLines)) // more than a page keeps
	h.board.known.Programs = nil
	worker := p.Worker
	h.board.watch(worker).put(0, []byte("last\n"))
	c, ok := h.changing(asked{}, p.Number(), true, &worker)
	changed, err := c.since(sent)
	if ok || err != nil || !strings.Contains(fmt.Sprint(changed), `<div class="stdout">last</div>`) {
		t.Errorf("after its end: %v, %v, %v", ok, err, changed)
	}
}

// TestAnswer: the starter makes the calls that a page may make, and no others. Answers find their calls.
func TestAnswer(t *testing.T) {
	for acts, want := range map[bool]string{true: "answer answer answer answer", false: "answer answer failed failed"} {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() { // ends with the connection
			defer close(done)
			Answer(t.Context(), ours, acts, func(_ context.Context, to, request etf.Term) (etf.Term, error) {
				if request == etf.Atom("restart") {
					return nil, &client.Exit{Reason: etf.Atom("noproc")}
				}
				return etf.Tuple{to, request}, nil
			})
		}()
		p := newProxy(theirs)
		w := etf.Pid{Node: "e@h", ID: 1}
		got := ""
		for _, c := range []etf.Tuple{
			{gen.Manager, etf.Tuple{etf.Atom("figures"), int64(0), etf.List(nil), int64(0)}},
			{gen.Manager, etf.Tuple{etf.Atom("log"), w, etf.Map{}}},
			{w, etf.Atom("stop")},
			{w, etf.Atom("restart")},
		} {
			answer, err := p.Call(t.Context(), c[0], c[1])
			var exit *client.Exit
			switch {
			case err == nil && reflect.DeepEqual(answer, c), errors.As(err, &exit) && exit.Reason == etf.Atom("noproc"):
				got += " answer"
			default:
				got += " failed"
			}
		}
		if got[1:] != want {
			t.Errorf("acts %v: %s, want %s", acts, got[1:], want)
		}
		for _, c := range []etf.Tuple{
			{gen.Manager, etf.Tuple{etf.Atom("run"), etf.List{}, etf.Map{}}},
			{gen.Manager, etf.Tuple{etf.Atom("stop"), etf.Atom("x")}},
			{gen.Manager, etf.Atom("stop")},
			{gen.Manager, etf.Tuple{}},
			{etf.Atom("rex"), etf.Tuple{etf.Atom("figures"), int64(0), etf.List(nil), int64(0)}},
			{w, etf.Tuple{etf.Atom("log"), w, etf.Map{}}},
			{w, etf.Tuple{etf.Atom("write"), etf.Binary("x")}},
			{w, etf.Atom("kill")},
		} {
			if answer, err := p.Call(t.Context(), c[0], c[1]); err == nil || !strings.Contains(err.Error(), "may not") {
				t.Errorf("%v: %v, %v", c, answer, err)
			}
		}
		p.Close()
		<-done
		if _, err := p.Call(t.Context(), w, etf.Atom("stop")); err == nil || p.Err() == nil {
			t.Error("a call without a connection is answered")
		}
	}
}

// TestAnswerIsBounded checks that a call or an answer that is too large, or cannot be encoded, fails
// alone. The connection stays, and the proxy forgets the call.
func TestAnswerIsBounded(t *testing.T) {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		Answer(t.Context(), ours, true, func(_ context.Context, _, request etf.Term) (etf.Term, error) {
			switch request {
			case etf.Atom("stop"):
				return etf.Binary(make([]byte, maxAnswer)), nil
			case etf.Atom("restart"):
				return struct{}{}, nil // no term
			}
			return etf.Atom("ok"), nil
		})
	}()
	p := newProxy(theirs)
	w := etf.Pid{Node: "e@h", ID: 1}
	logOf := func(opts etf.Term) etf.Tuple { return etf.Tuple{etf.Atom("log"), w, opts} }
	for _, c := range []struct {
		to, request etf.Term
		want        string
	}{
		{w, etf.Atom("stop"), "bytes are too many"},
		{w, etf.Atom("restart"), "cannot be passed on"},
		{gen.Manager, logOf(etf.Binary(make([]byte, maxAsk))), "bytes are too many"},
		{gen.Manager, logOf(struct{}{}), "struct"},
	} {
		if answer, err := p.Call(t.Context(), c.to, c.request); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, %v, want %q", fmt.Sprint(c.request), answer, err, c.want)
		}
		if answer, err := p.Call(t.Context(), gen.Manager, logOf(etf.Map{})); err != nil || answer != etf.Atom("ok") {
			t.Fatalf("a call after it: %v, %v", answer, err)
		}
	}
	p.Close()
	<-done
	if _, err := p.Call(t.Context(), w, etf.Atom("stop")); err == nil {
		t.Error("a call without a connection is answered")
	}
	if len(p.calls) > 0 {
		t.Errorf("%d calls are kept", len(p.calls))
	}
}

// TestAnswerOfJunk: the starter ends a conversation that it does not understand.
func TestAnswerOfJunk(t *testing.T) {
	for _, junk := range []string{"\xff\xff\xff\xff", "\x00\x00\x00\x01x", "\x00\x00\x00\x02\x61\x01"} {
		ours, theirs := net.Pipe()
		go func() { _, _ = theirs.Write([]byte(junk)) }() // ends with the connection
		Answer(t.Context(), ours, true, nil)
		_ = ours.Close()
		_ = theirs.Close()
	}
}
