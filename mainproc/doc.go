// Package mainproc is erluv_main: it holds root's privilege and the cookie,
// connects to the Erlang node, starts child and spawner as an ordinary user, hands
// the child the connection, and guards them. It knows nothing of workers, and while
// the node is served it reads and writes nothing: two threads sleep in poll(2).
//
// Its life is a machine of six states (machine.go), run by one goroutine
// (guard.go):
//
//	            ┌───────── connected ────────┐
//	connecting ─┤                            ├─ starting ── ready ── serving
//	    ▲       └─ launched (the first time) ┘                          │
//	    │                                             lost, asked, died │
//	    │                                                               ▼
//	 waiting ◄─────────────── gone: try again ───────────────────── stopping
//	                                                                    │
//	                                                gone: no more ──► ended
//
// A failure in connecting or starting leads to stopping as well: whatever was
// begun is given up there, and nothing goes on before all of it is gone.
//
// The first connection failing is the end, so that a wrong cookie is noticed;
// afterwards the configuration's `reconnect` decides.
package mainproc
