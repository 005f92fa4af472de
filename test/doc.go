// Package e2e tests the erluv binary from outside: real erl and elixir nodes on
// one side, /proc on the other. It has no code of its own but tests.
//
//	ERLUV_BIN      the binary; built when it is not set
//	ERLUV_ERL      the erl to test against; from PATH when it is not set
//	ERLUV_TEST_AS  root or user: whom erl and erluv run as; root if we are
//	ERLUV_TEST_USER  that ordinary user, or as root the one of the programs
//	ERLUV_TEST_ONLY  releases, users or check: only tests that have this directive
//
// The tests hold one EPMD on a port of its own for themselves. What they
// evaluate on a node is Erlang source: see erl/e2e_server.erl, and erl/e2e.erl
// for the functions that it may call.
package e2e
