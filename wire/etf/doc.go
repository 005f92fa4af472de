// Package etf reads and writes the external term format of Erlang, in which terms travel between
// nodes.
//
//	term.go         the Go types of terms; Text and Elements
//	decode.go       Decode: a term is built
//	reader.go       Reader: a term is walked, and nothing is built
//	skip.go         how a Reader skips a term
//	hash.go         hashes, by which the keys of a map are compared
//	iodata.go       AppendIOData: a term is flattened
//	head.go         the head of a term, in any form of its tag
//	atom.go         atoms
//	ident.go        pids, ports, references and funs
//	encode.go       functions that append a term, or its head
//	encode_term.go  AppendTerm: any term is encoded
//	format.go       Format: a term is printed as Erlang writes it
//	tag.go          tags, limits and errors
//
// It is made for input from a network. It checks every length before it allocates memory, and
// bounds nesting. It refuses bytes that no Erlang node since OTP 23 would send, and does not guess
// their meaning. It has nothing to do with sockets, frames and control messages, which belong to
// package dist.
//
// There are three ways to read a term. Decode builds it, for requests, whose options may have any
// form. Reader walks it and builds nothing, for frequent messages. AppendIOData flattens it, for
// the input of a program. References, ports and funs are never parsed. They are kept as Raw and go
// back byte for byte, as the node that made them requires.
//
// Decoded terms may alias the input: binaries, strings and raw terms do, atoms do not. A caller
// that keeps a term longer than its frame copies it.
//
// The format: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
package etf
