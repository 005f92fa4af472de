// Package e2e tests the erluv binary from outside, with real erl and elixir nodes and with /proc. It
// contains only tests.
//
//	ERLUV_BIN        the binary; built when it is not set
//	ERLUV_ERL        the erl to test against; from PATH when it is not set
//	ERLUV_TEST_AS    root or user: the user of erl and erluv; root if the tests run as root
//	ERLUV_TEST_USER  that ordinary user; as root, the user of the programs
//	ERLUV_TEST_ONLY  releases, users or check: only tests that have this directive
//	ERLUV_TEST_PART  2/3: only the second of three parts
//
// The tests share one EPMD of their own, on a port of its own. Nodes evaluate Erlang source for
// them: see erl/e2e_server.erl, and erl/e2e.erl for the functions that it may call.
package e2e
