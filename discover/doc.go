// Package discover finds out which nodes there are to dial: those of a list, and those that
// DNS or a file names, asked again from time to time. Its result are [Target]s, of which each
// says where a dialler finds the node.
//
// It dials none of them, asks no EPMD and logs nothing. erluv_main makes a [Finder] of the
// settings and has it run.
//
// Whoever answers is not trusted: how many names there are, how long they are and how long
// it takes is bounded, and a name must be one that a node can have. When a source does not
// answer, or not rightly, the names that it had remain: a name server that is down must not
// take nodes away.
//
// SRV records are those of RFC 2782, of which a node has the host and the port of its
// listener. What a node's name may be is net_kernel's word (kernel/src/net_kernel.erl).
package discover
