package childproc

import (
	"fmt"

	"erluv/wire/etf"
	"erluv/wire/gen"
)

// A proxy is a process of the node, paired with a worker: apply(M, F, [W | A]).
// It is started when the program runs, through rex, and linked with the worker
// before anybody hears of the worker, so that there are both or neither.
type proxy struct {
	module, function etf.Atom
	args             etf.Raw // a list, kept until the program runs
}

func optProxy(to **proxy, v etf.Term) error {
	if t, ok := v.(etf.Tuple); ok && len(t) == 3 {
		module, ok1 := t[0].(etf.Atom)
		function, ok2 := t[1].(etf.Atom)
		args, ok3 := etf.Elements(t[2])
		if ok1 && ok2 && ok3 {
			*to = &proxy{module: module, function: function, args: gen.Encode(args)}
			return nil
		}
	}
	return fmt.Errorf("must be {Module, Function, Args}")
}

// startProxy asks the node to start the proxy.
func (m *manager) startProxy(p *proc) {
	x := p.asked.proxy
	args := etf.List{p.pid}
	if more, err := etf.Decode(x.args); err == nil { // it was one term already
		args = append(args, more.(etf.List)...)
	}
	x.args = nil
	m.ask("erlang", "spawn", etf.List{x.module, x.function, args}, func(result etf.Term) {
		pid, ok := result.(etf.Pid)
		if !ok {
			m.proxyFailed(p, result)
			return
		}
		p.asked.proxy = nil
		m.linkTo(p, pid)
		m.present(p)
		m.finish(p)
	})
}

// proxyFailed: there is no proxy, so there is no worker: nobody has heard of it
// yet, and nobody does.
func (m *manager) proxyFailed(p *proc, why etf.Term) {
	m.replyAsked(p, gen.Error(etf.Tuple{etf.Atom("proxy"), why}))
	m.wasAsked(p)
	m.withdraw(p)
	m.kill(p)
}
