package childproc

import (
	"time"

	"erluv/childproc/output"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

const (
	// untilFirst is how many bytes a function that looks for the end gets in its first call. Each
	// further call has as many bytes as all earlier ones together. So the bytes sent in both
	// directions, with the continuation, stay in proportion to the input.
	untilFirst = 512

	// If a program writes small pieces, each would carry a long continuation in both directions. So
	// from untilLong bytes on, a small piece waits for untilPause.
	untilLong  = 64 << 10
	untilPause = 20 * time.Millisecond
)

// until is a request get_until. A function of the node looks for the end, as for io:fread/3. The
// child calls it with a continuation and characters until it is done.
type until struct {
	m        *manager
	p        *program
	module   etf.Atom
	function etf.Atom
	extra    etf.List
	reply    func(etf.Term)
	text     output.Device
	c        *client // its node has the function
	reader   output.Reader
	more     etf.Term // the continuation
	held     part     // for the continuation
	given    int      // bytes that the function has got
	waits    bool     // for untilPause
	waited   bool
}

func (m *manager) getUntil(d ioDo, a args) bool {
	p := d.p
	module, ok1 := a.list[2].(etf.Atom)
	function, ok2 := a.list[3].(etf.Atom)
	extra, ok3 := etf.Elements(a.list[4])
	if !ok1 || !ok2 || !ok3 {
		return false
	}
	if !p.out.Passive() {
		d.reply(gen.Error(etf.Atom("active")))
		return true
	}
	u := &until{
		m: m, p: p, module: module, function: function, extra: extra,
		text: output.Device{Latin1: p.out.Device.Latin1, List: true}, more: etf.List(nil),
	}
	u.reply = func(answer etf.Term) {
		u.held.Give()
		d.reply(answer)
	}
	u.reader.Taker, u.reader.Outlet, u.c = u, &d.c.Outlet, d.c
	m.await(p, workers.Stdout, &u.reader)
	return true
}

// Take gives the function the next piece.
func (u *until) Take(k *output.Kept, ended bool) (n int, done bool) {
	b := k.Bytes()
	if len(b) == 0 && !ended || u.pauses(len(b), ended) {
		return 0, false
	}
	b = b[:min(len(b), max(u.given, untilFirst), output.MaxGot)]
	if (!ended || len(b) < k.Len()) && !u.text.Latin1 {
		b = b[:output.WholeRunes(b)]
		if len(b) == 0 {
			return 0, false
		}
	}
	var chars etf.Term = etf.Atom("eof")
	if len(b) > 0 {
		var err error
		if chars, err = u.text.Decode(etf.Atom("unicode"), b); err != nil {
			u.reply(gen.Error(etf.Tuple{etf.Atom("no_translation"), etf.Atom("unicode"), etf.Atom("latin1")}))
			return len(b), true
		}
	}
	u.given += len(b)
	u.reader.Busy, u.waited = true, false
	u.c.Ask(u.module, u.function, append(etf.List{u.more, chars}, u.extra...), u.next)
	return len(b), false
}

// pauses reports whether a piece of n bytes must wait for more.
func (u *until) pauses(n int, ended bool) bool {
	if ended || u.waited || u.given < untilLong || n >= u.given/2 {
		return false
	}
	if !u.waits {
		u.waits = true
		u.m.loop.After(untilPause, func() {
			u.waits, u.waited = false, true
			u.goOn()
		})
	}
	return true
}

// next takes the function's result.
func (u *until) next(result etf.Term) {
	done := func() { u.p.out.Done(workers.Stdout) } // the reader stays the first while it is busy
	tu, ok := result.(etf.Tuple)
	switch {
	case ok && len(tu) == 3 && tu[0] == etf.Atom("done"):
		rest, err := u.text.Encode(etf.Atom("unicode"), tu[2])
		if err == nil && tu[2] != etf.Atom("eof") && len(rest) <= u.given { // no more than it got
			u.p.out.PutBack(workers.Stdout, rest)
		}
		u.reply(tu[1])
		done()
	case ok && len(tu) == 2 && tu[0] == etf.Atom("more"):
		if !u.keep(gen.Encode(tu[1])) { // it outlives the frame
			u.reply(errorHeld)
			done()
		}
	default:
		u.reply(gen.Error(u.function))
		done()
	}
	u.goOn()
}

// keep keeps a continuation. It returns false if the budget lacks room.
func (u *until) keep(more etf.Raw) bool {
	u.held.Give()
	var ok bool
	if u.held, ok = u.m.held.take(len(more)); ok {
		u.more, u.reader.Busy = more, false
	}
	return ok
}

func (u *until) goOn() {
	u.p.goOn(u.m, workers.Stdout)
}
