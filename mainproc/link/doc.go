// Package link is one connection of erluv_main to a node. Main dials it (dial.go) or accepts it
// (accept.go, lobby.go), and shakes hands, since it has the cookie; then a crew gives it to the child, which reads and writes
// it. What the connection is made of is a transport's matter, which says where it stands.
//
// When the child has died main goes on with it: stand.go says from the journal what the
// child has left, ledger.go whom it has to be told to, and a caretaker serves the connection
// (caretaker.go, interim.go) until another child does.
//
// It starts no process and knows none. Mainproc owns the links and orders them about.
package link
