package childproc

import (
	"erluv/childproc/history"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// A proxy is a process of the node, paired with a worker: apply(M, F, [W | A]).
// It is started when the program runs, through rex, and linked with the worker
// before anybody hears of the worker, so that there are both or neither.
// startProxy asks the node to start the proxy.
func (p *program) startProxy(m *manager) {
	x := p.asked.proxy
	args := etf.List{p.pid}
	if more, err := etf.Decode(x.Args); err == nil { // it was one term already
		args = append(args, more.(etf.List)...)
	}
	x.Args = nil
	p.client.Ask("erlang", "spawn", etf.List{x.Module, x.Function, args}, func(result etf.Term) {
		pid, ok := result.(etf.Pid)
		if !ok {
			p.proxyFailed(m, result)
			return
		}
		p.asked.proxy = nil
		m.linkTo(p, pid)
		p.step(m, evPaired, nil)
	})
}

// proxyFailed: there is no proxy, so there is no worker: nobody has heard of it
// yet, and nobody does.
func (p *program) proxyFailed(m *manager, why etf.Term) {
	m.replyAsked(p, gen.Error(etf.Tuple{etf.Atom("proxy"), why}))
	m.wasAsked(p)
	p.step(m, evUnpaired, nil)
	m.kill(p, history.Proxy)
}
