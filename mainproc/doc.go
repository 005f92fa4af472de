// Package mainproc is erluv_main: it holds root's privilege and the cookie,
// connects to the Erlang node, starts child and spawner as an ordinary user, hands
// the child the connection, and guards them. It knows nothing of workers but who
// watches them, and while the node is served it reads and writes nothing on the
// connection: two threads sleep in poll(2), and one asks every two seconds whether the
// child lives.
//
// Its life is a machine (machine.go), run by one goroutine (guard.go):
//
//	            ┌───────── connected ────────┐
//	connecting ─┤                            ├─ starting ── ready ── serving ◄── ready ──┐
//	    ▲       └─ launched (the first time) ┘                        │   │              │
//	    │                                                 lost, asked │   │ died, broken │
//	    │                                                             ▼   ▼              │
//	 waiting ◄───────────────── gone: try again ───────────────── stopping  falling      │
//	                                                             │    ▲       │ gone      │
//	                                            gone: no more ───┤    │       ▼           │
//	                                                             ▼    └───── down ──► rising
//	                                                           ended  lost,      respawn,
//	                                                                  timeout    perhaps after
//	                                                                             resting
//
// A failure in connecting or starting leads to stopping as well: whatever was
// begun is given up there, and nothing goes on before all of it is gone.
//
// From down to rising main keeps the connection itself: caretaker.go, interim.go, with
// what stand.go and ledger.go say of the child that has died.
//
// A service manager that wants to know is told how it goes (service.go).
//
// The first connection failing is the end, so that a wrong cookie is noticed;
// afterwards the configuration's `reconnect` decides.
package mainproc
