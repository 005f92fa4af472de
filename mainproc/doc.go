// Package mainproc is erluv_main: it holds root's privilege and the cookie,
// connects to the Erlang node, starts child and spawner as an ordinary user, hands
// the child the connection, and guards them. It knows nothing of workers but who
// watches them, and while the node is served it reads and writes nothing on the
// connection: two threads sleep in poll(2), and one asks every two seconds whether the
// child lives.
//
// It is in rooms: crew has the roles as processes, link a connection, permit what main
// listens to. Here a guard ties one crew with a set of links. Both lives are
// machines (crew/life.go, link/life.go), run by the guard's one goroutine. Of the crew:
//
//	           wanted          launched          handed          ready
//	    none ──────────► starting ───► standby ───► handing ───► serving ──┐
//	     ▲ ▲                ▲  failed                          stop│ │died,│ stopped
//	     │ │ stop, expired, │    │                                 ▼ │broken
//	     │ └─── idle ─── down ◄──┘                             asked │     │
//	gone │         respawn │ ▲                                     │ ▼     │
//	     │  resting ◄──────┘ └──────────── gone ────────────── falling     │
//	     └──────────────────────────── ending ◄────────────────────┴───────┘
//
// Of a link:
//
//	            connected        offered         ready
//	connecting ──────────► open ────────► handing ────► served
//	    ▲                   ▲ │ crashed      │             │
//	    │ expired  released │ └────────► orphaned ◄────────┘ crashed
//	    │                   │               │ reaped
//	 waiting            releasing ◄────── kept ── leave ──► leaving
//	    ▲                          offered
//	    └──── gone: again ── closing ── gone: no more ──► ended
//
// The link of a node that has connected by itself begins open, and ends with its connection. A link
// that erluv makes is met as long as its node has made one: it goes there from closing, in place of
// waiting, or from waiting, and on to waiting when the node's own has ended.
//
// A link that is lost is closing, from wherever it was; the others go on. When the child
// dies, each link is orphaned, and kept by main itself as soon as the roles have been
// reaped; the first that another child is offered is handed to it with all that it needs.
// Whatever was begun is given up in closing and in ending, and a link that was served by
// a crew that ends with its last link is not made anew before all of that crew is gone. A crew
// that stays (guard.stays, guard.open) goes on without a link.
//
// Where things are:
//
//	mainproc.go   Run
//	guard.go      the goroutine that runs the machines
//	act.go        what they say is done
//	settings.go   what the configuration says to crews; host.go: of this machine
//	nodes.go      which nodes links lead to
//	listen.go     where nodes connect, and EPMD, which is told
//	control.go    where operators do
//	accept.go     the connections of both
//	shares.go     how many of all these main's descriptors are enough for
//	input.go      the end of standard input
//	service.go    a service manager that wants to know is told how it goes
//	errors.go     the exit statuses
//	dump.go       how main stands, at SIGQUIT
//
// The first connection failing is the link's end, so that a wrong cookie is noticed;
// afterwards the configuration's `reconnect` decides.
package mainproc
