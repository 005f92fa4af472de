// Package discover finds the nodes to dial: those of a list, and those that DNS or a file
// names. It asks these sources again at an interval. Each [Target] of the result says where a
// dialler finds the node.
//
// It dials no node, asks no EPMD and logs nothing. Its caller makes a [Finder] of the settings
// and runs it.
//
// Name servers and files are not trusted. The number of names, their length and the time for an
// answer are bounded, and each name must be legal for a node. A source that fails, or gives a wrong
// answer, keeps its last names: a failed name server must not remove nodes.
//
// SRV records follow RFC 2782; host and port are those of the node's listener. The legal names are
// those of OTP (kernel/src/net_kernel.erl).
//
//	finder.go   the Finder, which asks at an interval and reports changes
//	source.go   a Source: DNS or a file
//	file.go     a file of names
//	target.go   a Target, and the patterns of names
package discover
