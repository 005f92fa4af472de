package childproc

import (
	"erluv/childproc/history"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// startProxy asks the node to start the proxy, a process of the node that belongs to the worker:
// apply(M, F, [W | A]). The proxy starts through rex once the program runs. It is linked with the
// worker before any other process hears of the worker. So both exist, or neither.
func (p *program) startProxy(m *manager) {
	x := p.asked.proxy
	args := etf.List{p.pid}
	if more, err := etf.Decode(x.Args); err == nil { // one term already
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

// proxyFailed is called when there is no proxy. The worker ends too, and no other process hears of
// it.
func (p *program) proxyFailed(m *manager, why etf.Term) {
	m.replyAsked(p, gen.Error(etf.Tuple{etf.Atom("proxy"), why}))
	m.wasAsked(p)
	p.step(m, evUnpaired, nil)
	m.kill(p, history.Proxy)
}
