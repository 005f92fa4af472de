package peer

import (
	"errors"

	"erluv/ipc"
	"erluv/wire/etf"
)

// MaxObservers is the maximum number of links and monitors of all processes of the child together.
// A node that sets up more and more of them cannot fill the child's memory (about 110 bytes each).
// Further ones are answered with system_limit.
const MaxObservers = 1 << 20

// Observers are the processes of the node that get a signal when a process of the child ends:
// linked processes and monitors. Nearly always there are one or two.
type Observers struct {
	links    table[remote, struct{}]
	monitors *table[monitorKey, etf.Atom] // the name that it monitors, if any; nil: no monitors
}

// Empty reports whether there are none.
func (o *Observers) Empty() bool {
	return o.links.len() == 0 && (o.monitors == nil || o.monitors.len() == 0)
}

// Linked reports whether a process of the node is linked.
func (o *Observers) Linked() bool { return o.links.len() > 0 }

// LinkedBut reports whether a process other than pid is linked.
func (o *Observers) LinkedBut(pid etf.Pid) bool {
	n := o.links.len()
	if o.links.find(remoteOf(pid)) >= 0 {
		n--
	}
	return n > 0
}

// monitorKey names a monitor by its owner and its encoded reference.
type monitorKey struct {
	from remote
	ref  string
}

// link and the methods below report whether the observers changed.
func (o *Observers) link(pid etf.Pid) bool   { return o.links.add(remoteOf(pid), struct{}{}) }
func (o *Observers) unlink(pid etf.Pid) bool { return o.links.remove(remoteOf(pid)) }

func (o *Observers) monitor(from etf.Pid, name etf.Atom, ref etf.Raw) bool {
	if o.monitors == nil {
		o.monitors = &table[monitorKey, etf.Atom]{}
	}
	return o.monitors.add(monitorKey{remoteOf(from), string(ref)}, name)
}

// demonitor returns the name by which the process was monitored.
func (o *Observers) demonitor(from etf.Pid, ref etf.Raw) (name etf.Atom, ok bool) {
	if o.monitors == nil {
		return "", false
	}
	k := monitorKey{remoteOf(from), string(ref)}
	i := o.monitors.find(k)
	if i < 0 {
		return "", false
	}
	name = o.monitors.list[i].value
	return name, o.monitors.remove(k)
}

// The methods below change the observers of a process of the child, count them, and report them to
// main. They ignore processes of other nodes.

// Link adds a link, and reports whether it is new.
func (c *Peer) Link(o *Observers, ours, pid etf.Pid) bool {
	if !o.link(pid) {
		return false
	}
	c.observed++
	c.linked++
	c.ledger.add(observerOf(ipc.ObserverLink, ours, pid))
	return true
}

// Unlink removes a link, and reports whether there was one.
func (c *Peer) Unlink(o *Observers, ours, pid etf.Pid) bool {
	if !c.Has(pid) || !o.unlink(pid) {
		return false
	}
	c.observed--
	c.linked--
	c.ledger.remove(observerOf(ipc.ObserverLink, ours, pid))
	return true
}

// Monitor adds a monitor of a process of the child, by pid or by name.
func (c *Peer) Monitor(o *Observers, ours, from etf.Pid, name etf.Atom, ref etf.Raw) {
	if o.monitor(from, name, ref) {
		c.observed++
		c.ledger.add(monitorOf(ours, name, from, string(ref)))
	}
}

// Demonitor removes a monitor.
func (c *Peer) Demonitor(o *Observers, ours, from etf.Pid, ref etf.Raw) {
	if !c.Has(from) {
		return
	}
	if name, ok := o.demonitor(from, ref); ok {
		c.observed--
		c.ledger.remove(monitorOf(ours, name, from, string(ref)))
	}
}

// Observed is how many links and monitors there are, of all processes of the child.
func (c *Peer) Observed() int { return c.observed }

// Linked is how many of them are links.
func (c *Peer) Linked() int { return c.linked }

// Remembered is how much is remembered for processes of the child: links and monitors, bytes of the
// ledger, and receivers that streams go to.
func (c *Peer) Remembered() (observed, ledger, receivers int) {
	for _, r := range c.flows.all {
		if r.users > 0 || r.held > 0 {
			receivers++
		}
	}
	return c.observed, c.ledger.size, receivers
}

// LedgerFull reports whether main can remember no more monitors.
func (c *Peer) LedgerFull() bool { return c.ledger.size >= ledgerMax }

// LinkTo links a process of the child with one of the node.
func (c *Peer) LinkTo(o *Observers, ours, to etf.Pid) {
	c.Link(o, ours, to)
	c.Unasked(ours, Once, func() { c.sendLink(ours, to) })
}

// MonitorOwner makes a process of the child monitor its owner, a process of the node. ref is the
// number of the monitor.
func (c *Peer) MonitorOwner(ours, owner etf.Pid, ref uint64) {
	c.ledger.add(c.ownerObserver(ours, owner, ref))
	c.Unasked(ours, Once, func() { c.sendMonitor(ours, owner, c.ref(ref)) })
}

// DemonitorOwner ends that monitor.
func (c *Peer) DemonitorOwner(ours, owner etf.Pid, ref uint64) {
	c.Unasked(ours, Once, func() { c.sendDemonitor(ours, owner, c.ref(ref)) })
	c.OwnerGone(ours, owner, ref)
}

// OwnerGone reports to main that the monitor is over.
func (c *Peer) OwnerGone(ours, owner etf.Pid, ref uint64) {
	c.ledger.remove(c.ownerObserver(ours, owner, ref))
}

func (c *Peer) ownerObserver(ours, owner etf.Pid, ref uint64) ipc.Observer {
	w := observerOf(ipc.ObserverPeer, ours, owner)
	w.Ref = string(c.ref(ref))
	return w
}

// ref returns a reference of the child by its number.
func (c *Peer) ref(n uint64) etf.Raw {
	return etf.AppendNewRef(nil, c.Self.Node, c.Self.Creation, uint32(n)&0x3ffff, uint32(n>>18), 0)
}

// Adopt takes over the monitors of names that nodes set up before this child began.
func (c *Peer) Adopt(names *Observers, records []string) error {
	for _, r := range records {
		w, err := ipc.ReadObserver(r)
		if err != nil {
			return err
		}
		if w.Kind != ipc.ObserverName {
			return errors.New("main sent a monitor of an earlier child's process")
		}
		from := c.theirs(remote{w.PeerID, w.PeerSerial, w.PeerCreation})
		if names.monitor(from, etf.Atom(w.Name), etf.Raw(w.Ref)) {
			c.observed++
			c.ledger.size += len(r) // main already has them
		}
	}
	return nil
}

// remote is a process of the node.
type remote struct{ id, serial, creation uint32 }

func remoteOf(pid etf.Pid) remote { return remote{pid.ID, pid.Serial, pid.Creation} }

// theirs returns its pid.
func (c *Peer) theirs(r remote) etf.Pid {
	return etf.Pid{Node: c.node, ID: r.id, Serial: r.serial, Creation: r.creation}
}
