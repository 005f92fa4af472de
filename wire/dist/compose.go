package dist

import (
	"encoding/binary"

	"erluv/wire/etf"
)

// The functions in this file append whole frames to b, including their length. They allocate
// nothing except for the growth of b. They write references and reasons unchanged: one encoded term
// each, without a version byte.

// AppendTick appends a tick.
func AppendTick(b []byte) []byte { return append(b, 0, 0, 0, 0) }

// BeginSend begins the frame of a message to a pid. The caller appends one term,
// the message, and then calls End.
func BeginSend(b []byte, to etf.Pid) []byte {
	b = etf.AppendPid(etf.AppendAtom(begin(b, Send, 2), ""), to)
	return append(b, termVersion)
}

// BeginRegSend begins the frame of a message to a registered process of the
// peer. The caller appends one term, the message, and then calls End.
func BeginRegSend(b []byte, from etf.Pid, to etf.Atom) []byte {
	b = etf.AppendPid(begin(b, RegSend, 3), from)
	b = etf.AppendAtom(etf.AppendAtom(b, ""), to)
	return append(b, termVersion)
}

// BeginReply begins the frame of the answer {Tag, Answer} to a gen_server:call that the process to
// has made with tag. The caller appends the answer and then calls End. The frame goes to the alias
// in the tag, so that the node drops it if the call has timed out (gen_server(3), call/3;
// erlang(3), alias/1). The pid from is a process of this node. A tag without an alias comes from
// another kind of client, and the answer goes to the process.
func BeginReply(b []byte, from, to etf.Pid, tag etf.Raw) []byte {
	if alias, ok := aliasOf(tag); ok {
		b = append(etf.AppendPid(begin(b, AliasSend, 2), from), alias...)
		b = append(b, termVersion)
	} else {
		b = BeginSend(b, to)
	}
	return append(etf.AppendTupleHeader(b, 2), tag...)
}

// aliasOf returns the Alias of [alias | Alias].
func aliasOf(tag etf.Raw) (etf.Raw, bool) {
	r := etf.NewReader(tag)
	if n, err := r.List(); err != nil || n != 1 {
		return nil, false
	}
	if a, err := r.Atom(); err != nil || a != "alias" {
		return nil, false
	}
	alias, err := readRef(&r)
	return alias, err == nil
}

// End sets the length of the frame that begins at b[start] and ends with b. The value of start is
// len(b) before the frame was begun. A frame has less than 4 GiB.
func End(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-HeaderSize))
	return b
}

// AppendLink appends the link from a process of this node to one of the peer.
func AppendLink(b []byte, from, to etf.Pid) []byte {
	return End(pids(begin(b, Link, 2), from, to), len(b))
}

// AppendUnlinkID appends the end of a link. The id is not zero, and the peer's answer has it. Until
// the answer comes, an exit signal of the link may still arrive.
func AppendUnlinkID(b []byte, id uint64, from, to etf.Pid) []byte {
	return End(pids(etf.AppendUint64(begin(b, UnlinkID, 3), id), from, to), len(b))
}

// AppendUnlinkIDAck appends the answer to an UnlinkID message: its id, and from and to as this node
// sees them. No other signal may go to that process first.
func AppendUnlinkIDAck(b []byte, id uint64, from, to etf.Pid) []byte {
	return End(pids(etf.AppendUint64(begin(b, UnlinkIDAck, 3), id), from, to), len(b))
}

// AppendExit appends the exit signal of a link: from has ended, or never existed.
func AppendExit(b []byte, from, to etf.Pid, reason etf.Raw) []byte {
	return end(pids(begin(b, PayloadExit, 2), from, to), len(b), reason)
}

// AppendExit2 appends the exit signal that exit(To, Reason) sends.
func AppendExit2(b []byte, from, to etf.Pid, reason etf.Raw) []byte {
	return end(pids(begin(b, PayloadExit2, 2), from, to), len(b), reason)
}

// AppendMonitor appends the request of the process from, on this node, to monitor the peer's
// process to.
func AppendMonitor(b []byte, from, to etf.Pid, ref etf.Raw) []byte {
	return End(append(pids(begin(b, MonitorP, 3), from, to), ref...), len(b))
}

// AppendDemonitor appends the end of such a monitor.
func AppendDemonitor(b []byte, from, to etf.Pid, ref etf.Raw) []byte {
	return End(append(pids(begin(b, DemonitorP, 3), from, to), ref...), len(b))
}

// AppendMonitorName and AppendDemonitorName do the same for a process of the peer that is known by
// its name.
func AppendMonitorName(b []byte, from etf.Pid, to etf.Atom, ref etf.Raw) []byte {
	return End(append(named(begin(b, MonitorP, 3), from, to), ref...), len(b))
}

func AppendDemonitorName(b []byte, from etf.Pid, to etf.Atom, ref etf.Raw) []byte {
	return End(append(named(begin(b, DemonitorP, 3), from, to), ref...), len(b))
}

// AppendMonitorExit appends the answer to a monitor that to has set up on the process from with
// ref.
func AppendMonitorExit(b []byte, from, to etf.Pid, ref, reason etf.Raw) []byte {
	b2 := pids(begin(b, PayloadMonitorPExit, 3), from, to)
	return end(append(b2, ref...), len(b), reason)
}

// AppendMonitorExitName does the same for a process that is monitored by its name.
func AppendMonitorExitName(b []byte, from etf.Atom, to etf.Pid, ref, reason etf.Raw) []byte {
	b2 := etf.AppendPid(etf.AppendAtom(begin(b, PayloadMonitorPExit, 3), from), to)
	return end(append(b2, ref...), len(b), reason)
}

// begin appends everything before the n fields of a control message.
func begin(b []byte, op Op, n int) []byte {
	b = append(b, 0, 0, 0, 0, passThrough, termVersion)
	return etf.AppendInt(etf.AppendTupleHeader(b, 1+n), int64(op))
}

func pids(b []byte, from, to etf.Pid) []byte {
	return etf.AppendPid(etf.AppendPid(b, from), to)
}

func named(b []byte, from etf.Pid, to etf.Atom) []byte {
	return etf.AppendAtom(etf.AppendPid(b, from), to)
}

// end appends the term of a control message and sets the length.
func end(b []byte, start int, term etf.Raw) []byte {
	return End(append(append(b, termVersion), term...), start)
}
