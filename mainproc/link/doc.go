// Package link is one connection of erluv_main to a node. Main dials it or accepts it, and
// shakes hands, since it has the cookie. Then a crew gives it to the child, which reads and
// writes it. When the child has died main goes on with it, until another child does.
//
//	life.go       the life of a link: a machine, which mainproc runs
//	self.go       what erluv is on all connections: a name, a creation
//	dial.go       main connects to a node
//	accept.go     nodes connect to main
//	lobby.go      handshakes under way; refusals.go: which connections were refused, and why
//	turns.go      one at a time, each address in its turn: those who wait for a relay
//	link.go       an established connection
//	transport.go  what it is made of, and where it stands: a TCP socket,
//	relayed.go    the inner stream to a relay, which speaks TLS,
//	secure.go     the same where nodes connect,
//	control.go    or a connection of the control socket
//	stand.go      what the dead child has left to do, from the journal
//	ledger.go     whom main then has to tell
//	interim.go    what main says and hears until another child serves: no I/O, no clock
//	caretaker.go  its sockets and its clock
//
// It starts no process and knows none. Mainproc owns the links and orders them about.
package link
