// Package web is the live page with an erluv's programs, and its metrics. erluv web starts it as a
// process without privileges. That process accepts browsers' connections on a socket that already
// listens. Its only other connections come from its starter: one to erluv's control socket, or one
// for each erluv that serves the given nodes.
//
// It shows only erluv's own data, and remembers five minutes of programs' usage. It changes
// something with only two requests, stop and restart, for browsers that show its token. Its starter
// (cmd/erluv) connects again when a connection has ended. A connection to the control socket is
// limited to looks and these two requests by the name in its handshake. For erluvs elsewhere the
// starter makes the calls, and refuses all others.
//
//	serve.go     the role: its input, and how long it serves
//	link.go      the conversation with its starter, and the connection to erluv
//	board.go     the known data, and who wants it: looks
//	tail.go      the last output of programs that pages show
//	fleet.go     several erluvs, each with pages of its own
//	proxy.go     calls to an erluv elsewhere, which the starter makes
//	graph.go     five minutes as a line (SVG)
//	handler.go   paths, and who may see them
//	events.go    changes, as they happen (server-sent events)
//	view.go      the data of the templates
//	metrics.go   the metrics, in two formats
//	assets/      templates, style, script
package web
