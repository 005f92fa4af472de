// Package etf reads and writes the external term format of Erlang, the form in
// which terms travel between nodes.
//
// It is made for bytes that come from a network: every length is checked before
// anything is allocated, nesting is bounded, and what no Erlang node since OTP 23
// would send is refused rather than guessed at. It knows no sockets, no frames
// and no control messages; those are package dist's.
//
// There are three ways through a term. Decode builds it, for requests, whose
// options may be of any form. Reader walks it and builds nothing, for what
// comes often. AppendIOData flattens it, for what is written to a program.
// References, ports and funs are never taken apart: they are kept as Raw and
// come back byte for byte, as the node that made them demands.
//
// Everything that is decoded may alias the input (binaries, strings and raw
// terms do, atoms do not). Who keeps a term longer than its frame copies it.
//
// The format: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
package etf
