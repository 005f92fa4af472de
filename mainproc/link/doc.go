// Package link is one connection of erluv_main to a node. Main dials it or accepts it, and shakes
// hands, because main has the cookie. Then a crew gives it to the child, which reads and writes it.
// After the child's death main serves it until there is another child.
//
//	life.go       the life of a link: a state machine, which mainproc runs
//	self.go       erluv's name and creation on all connections
//	dial.go       main connects to a node
//	accept.go     nodes connect to main
//	lobby.go      handshakes under way
//	refusals.go   the log of refused connections
//	turns.go      turns of guests that wait for a relay, fair to each address
//	link.go       an established connection
//	transport.go  its bytes and its position: a TCP socket,
//	relayed.go    the inner stream to a relay, which speaks TLS,
//	secure.go     the same for nodes that connect,
//	control.go    or a connection of the control socket
//	stand.go      the remaining work of a dead child, from the journal
//	ledger.go     the observers that main must then inform
//	interim.go    main's messages until another child serves: no I/O, no clock
//	caretaker.go  the sockets and the clock of an interim
//
// It starts no process and knows none. Mainproc owns the links and gives them orders.
package link
