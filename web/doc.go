// Package web is the page with an erluv's programs, live, and its metrics: the process that
// erluv web starts without privileges, whose only connections are those of browsers, to a socket
// that listens already, and one to erluv's control socket, which it is given.
//
// It says nothing that was not said by erluv, remembers five minutes of what programs use, and
// changes something by two requests alone, stop and restart, for browsers that show its token. The
// starter (cmd/erluv) has the control socket opened anew when a connection has ended, and says
// in the handshake that what it gives away may do no more than that.
//
//	serve.go     the role: what it is given, and until when it serves
//	link.go      the conversation with its starter, and the connection to erluv
//	board.go     what is known, and who wants to know it: looks
//	tail.go      the last output of programs that pages show
//	graph.go     five minutes as a line (SVG)
//	handler.go   what is at which path, and who may have it
//	events.go    changes, as they happen (server-sent events)
//	view.go      what the templates show
//	metrics.go   the metrics, in two formats
//	assets/      templates, style, script
package web
