// Package mainproc is erluv_main. It holds root's privilege and the cookie, and connects to Erlang
// nodes. It starts child and spawner as an ordinary user, hands the child the connections, and
// guards both. It knows nothing of workers except their observers. While a node is served, main
// neither reads nor writes on the connection. Two of its threads sleep in poll(2), and one asks
// every two seconds whether the child lives.
//
// Package crew has the roles as processes, package link a connection, and package permit the
// messages that main accepts. Here a guard connects one crew with a set of links. The lives of both
// are state machines (crew/life.go, link/life.go), which the guard's one goroutine runs. The
// crew's:
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
// A link's:
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
// The link of a node that has connected to erluv begins open, and ends with its connection. Erluv
// does not dial a node that has connected itself: erluv's own link to it is then met. A link
// becomes met from waiting, or from closing in place of waiting. It becomes waiting when the node's
// connection has ended.
//
// A lost link is closing, from any state; the others continue. When the child dies, each link is
// orphaned. Main itself keeps it as soon as the roles have been reaped. When main offers it to the
// next child, main hands it over with everything that the child needs. Closing and ending cancel
// everything that was begun. A crew may end with its last link. That link is made anew only when
// all of that crew is gone. A crew that stays (guard.stays, guard.open) continues without a link.
//
//	mainproc.go   Run, Ping and Client
//	guard.go      the goroutine that runs the machines
//	act.go        the guard carries out the machines' decisions
//	settings.go   the crew's settings, from the configuration
//	host.go       what the configuration says of this machine
//	nodes.go      the nodes that links lead to
//	listen.go     where nodes connect, and the registration with EPMD
//	control.go    where operators connect
//	accept.go     the connections of both
//	shares.go     how many connections main's descriptors allow
//	input.go      the end of standard input
//	condition.go  the state of all of this, in words
//	service.go    reports to a service manager
//	errors.go     the exit statuses
//	dump.go       main's state, at SIGQUIT
//
// If the first connection fails, its link ends, so that users notice a wrong cookie. Later the
// configuration's `reconnect` decides.
package mainproc
