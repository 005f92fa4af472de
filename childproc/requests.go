package childproc

import (
	"errors"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// requests are the requests to the manager, in the order of erluv-protocol(7).
var requests = table[func(m *manager, to caller, a args) bool]{
	{"spawn", 2, whileServing | starts, (*manager).spawnRequest, "{spawn, Cmd, Opts}"},
	{"run", 2, whileServing | starts, (*manager).runRequest, "{run, Cmd, Opts}"},
	{"exec", 2, whileServing | starts, (*manager).execRequest, "{exec, Cmd, Opts}"},
	{"watch", 2, whileServing | starts, (*manager).watchRequest, "{watch, Path, Opts}"},
	{"put_file", 2, whileServing | starts, (*manager).putRequest, "{put_file, Path, Opts}"},
	{"workers", 0, always, (*manager).workersRequest, "workers"},
	{"info", 0, always, (*manager).infoRequest, "info"},
	{"info", 1, always, (*manager).infoKeyRequest, "{info, Key}"},
	{"figures", 3, always, (*manager).figuresRequest, "{figures, Since, Workers, Then}"},
	{"events", 1, always, (*manager).eventsRequest, "{events, Kinds}"},
	{"set", 2, always, (*manager).setRequest, "{set, Key, Value}"},
	{"status", 1, always, (*manager).statusRequest, "{status, get}"},
	{"status", 2, always, (*manager).setStatusRequest, "{status, set, ready | standby | stopped}"},
	{"drain", 1, always, (*manager).drainRequest, "{drain, Deadline}"},
	{"meta", 1, always, (*manager).metaRequest, "{meta, get} , {meta, {update, Text}} , {meta, {remove, Name}}"},
	{"log", 2, always, (*manager).logRequest, "{log, W, Opts}"},
	{"classes", inTuple, always, (*manager).classesRequest, "{classes}"},
	{"stop", 1, always | unbuilt, (*manager).stopRequest, "{stop, Reason}"},
}

// request handles one call to the manager.
func (m *manager) request(to caller, req etf.Raw) {
	if len(req) > order.MaxRequest {
		to.reply(gen.TooLarge(len(req), order.MaxRequest))
		return
	}
	name, arity, a, ok := headOf(req)
	if name == reqExec {
		m.auditNode(to, a.raw)
	}
	row := requests.find(name, arity)
	if row == nil || !row.taken.has(unbuilt) {
		t, err := peer.Decode(req)
		if errors.Is(err, etf.ErrTooMany) {
			to.reply(gen.Error(etf.Tuple{etf.Atom("too_many_elements"), int64(peer.MaxElements)}))
			return
		}
		ok = ok && err == nil
		_, a = partsOf(t)
	}
	switch {
	case !ok || row == nil:
		to.reply(gen.BadRequest(req))
	case !row.taken.has(1 << m.phase):
		to.reply(gen.Error(etf.Atom("stopping")))
	case row.taken.has(starts) && m.unstarted(to, name) != nil:
		to.reply(m.unstarted(to, name))
	case !row.do(m, to, a):
		to.reply(gen.BadRequest(req))
	}
}

// The requests that start a program. exec comes from an operator, so no node need be served.
const (
	reqSpawn = etf.Atom("spawn")
	reqRun   = etf.Atom("run")
	reqExec  = etf.Atom("exec")
	reqPut   = etf.Atom("put_file") // starts the process that writes
)

// unstarted answers a request for a new program, watcher or upload if none may start now. It
// returns nil if one may.
func (m *manager) unstarted(to caller, name etf.Atom) etf.Term {
	c := to.client()
	byOperator := name == reqExec || c != nil && !c.isNode()
	switch {
	case byOperator && !m.start.RemoteExec:
		return gen.Error(etf.Atom("remote_exec"))
	case name == reqExec:
		return m.host.closed()
	case name == reqPut && m.host.state == hoStandby:
		return nil // files can come before the host accepts programs
	}
	return m.host.unready()
}

func (m *manager) spawnRequest(to caller, a args) bool {
	m.spawn(to, a.list[0], a.list[1], reqSpawn)
	return true
}

func (m *manager) execRequest(to caller, a args) bool {
	m.spawn(to, a.list[0], a.list[1], reqExec)
	return true
}

func (m *manager) runRequest(to caller, a args) bool {
	m.spawn(to, a.list[0], a.list[1], reqRun)
	return true
}

func (m *manager) watchRequest(to caller, a args) bool {
	m.watch(to, a.list[0], a.list[1])
	return true
}

func (m *manager) putRequest(to caller, a args) bool {
	m.putFile(to, a.list[0], a.list[1])
	return true
}

func (m *manager) workersRequest(to caller, _ args) bool {
	to.reply(m.list())
	return true
}

func (m *manager) infoRequest(to caller, _ args) bool {
	to.reply(m.info(m.targetOf(to)))
	return true
}

func (m *manager) infoKeyRequest(to caller, a args) bool {
	if a.list[0] == etf.Atom("history") {
		to.reply(m.historyTerm())
		return true
	}
	to.reply(m.infoOf(m.targetOf(to), a.list[0]))
	return true
}

// setRequest refuses: a node's report of itself is read-only.
func (m *manager) setRequest(to caller, _ args) bool {
	to.reply(gen.Error(etf.Atom("read_only")))
	return true
}

func (m *manager) stopRequest(to caller, a args) bool {
	reason, ok := a.only()
	if ok {
		to.reply(etf.Atom("ok"))
		m.stop(reason, "the node asked for it")
	}
	return ok
}
