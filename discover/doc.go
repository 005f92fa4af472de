// Package discover finds the nodes to dial: those of a list, and those that DNS or a file
// names. It asks these sources again at an interval. Each [Target] of the result says where a
// dialler finds the node.
//
// It dials no node, asks no EPMD and logs nothing. Its caller makes a [Finder] of the settings
// and runs it.
//
// Name servers and files are not trusted. The number of names, their length and the time for
// an answer are bounded, and each name must be legal for a node. A source that fails, or
// gives a wrong answer, keeps the names that it had: a name server that is down must not take
// nodes away.
//
// SRV records follow RFC 2782; host and port are those of the node's listener. The legal names
// are those of OTP (kernel/src/net_kernel.erl).
package discover
