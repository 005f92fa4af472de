package childproc

import (
	"fmt"
	"time"

	"erluv/etf"
	"erluv/loop"
)

// A proxy is a process of the node, paired with a worker: apply(M, F, [W | A]).
// It is started when the program runs, through rex, and linked with the worker
// before anybody hears of the worker, so that there are both or neither.
type proxy struct {
	module, function etf.Atom
	args             etf.List
	timer            *loop.Timer // until the node has answered
}

// proxyTimeout bounds the wait for the node's rex.
const proxyTimeout = 10 * time.Second

func optProxy(to **proxy, v etf.Term) error {
	if t, ok := v.(etf.Tuple); ok && len(t) == 3 {
		module, ok1 := t[0].(etf.Atom)
		function, ok2 := t[1].(etf.Atom)
		args, ok3 := asList(t[2])
		if ok1 && ok2 && ok3 {
			*to = &proxy{module: module, function: function, args: args}
			return nil
		}
	}
	return fmt.Errorf("must be {Module, Function, Args}")
}

// asList gives a proper list, also one that was sent as a string.
func asList(t etf.Term) (etf.List, bool) {
	switch v := t.(type) {
	case etf.List:
		return v, true
	case etf.String:
		l := make(etf.List, len(v))
		for i, c := range v {
			l[i] = int64(c)
		}
		return l, true
	}
	return nil, false
}

// startProxy asks the node to start the proxy. The answer comes to the worker's
// pid, so it cannot be confused with another.
func (m *manager) startProxy(p *proc) {
	x := p.proxy
	args := append(etf.List{p.pid}, x.args...)
	x.args = nil
	call := etf.Tuple{
		etf.Atom("call"), etf.Atom("erlang"), etf.Atom("spawn"),
		etf.List{x.module, x.function, args}, etf.Atom("user"),
	}
	m.out.regSend(p.pid, "rex", etf.Tuple{p.pid, call})
	x.timer = m.after(proxyTimeout, func() { m.proxyFailed(p, etf.Atom("timeout")) })
}

// proxyAnswer takes {rex, Result}, and says whether it was the answer.
func (m *manager) proxyAnswer(p *proc, payload etf.Raw) bool {
	if p.proxy == nil {
		return false
	}
	t, err := etf.Decode(payload)
	if err != nil {
		return false
	}
	tu, ok := t.(etf.Tuple)
	if !ok || len(tu) != 2 || tu[0] != etf.Atom("rex") {
		return false
	}
	pid, ok := tu[1].(etf.Pid)
	if !ok {
		m.proxyFailed(p, tu[1])
		return true
	}
	p.proxy.timer.Stop()
	p.proxy = nil
	if p.watch.link(pid) {
		m.watchers++
	}
	m.out.link(p.pid, pid)
	m.present(p)
	m.finish(p)
	return true
}

// proxyFailed: there is no proxy, so there is no worker: nobody has heard of it
// yet, and nobody does.
func (m *manager) proxyFailed(p *proc, why etf.Term) {
	p.proxy.timer.Stop()
	p.proxy = nil
	m.out.reply(p.asked, errorTerm(etf.Tuple{etf.Atom("proxy"), why}))
	p.asked, p.owner = from{}, etf.Pid{}
	p.streams[0].to, p.streams[1].to = etf.Pid{}, etf.Pid{}
	m.hold(p)
	m.kill(p)
}
