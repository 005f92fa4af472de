// Erluv is a hidden Erlang node that runs programs of the operating system.
//
// This package is its command line. It selects the role, reads the flags, and hides the cookie. It
// can go to the background. It prints errors on standard error and returns an exit status. Package
// mainproc does the work of erluv.
//
//	main.go         main, exit statuses
//	command.go      the command line: run, ping, config
//	flags.go        a flag for each key of the configuration
//	help.go         the texts of --help
//	show.go         the output of config
//	completion.go   completion in shells
//	secret.go       how a cookie disappears from /proc
//	detach.go       how erluv becomes a daemon
//	roles.go        the roles of the binary, and their calls
//	threads.go      threads that a role makes at its start
//	heap.go         when a role collects garbage early
//	cgo.go          a binary that was built with cgo refuses to start
//
// Commands for an erluv:
//
//	operator.go     which erluv a command means, and calls to it
//	hosts.go        several erluvs, through a node that they serve
//	program.go      which program a user means
//	ps.go           the list of programs
//	grid.go         tables of text
//	info.go         the info of an erluv or a program
//	logs.go         the last output of a program
//	escape.go       output that is safe for a terminal
//	width.go        the columns that characters take in a terminal
//	signal.go       a signal to a program
//	stop.go         the stop of a program
//	status.go       the state of a host
//	drain.go        the stop of all programs of a host
//	exec.go         a program with this process's standard streams
//	session.go      the life of such a program
//	tty.go          the terminal of such a program
//	top.go          a live list of programs
//	picture.go      the lines of top
//	report.go       the output of top as JSON
//	screen.go       the terminal of top
//	web.go          a page with the programs
//	webfleet.go     the same for all erluvs that serve nodes
//	page.go         the page's process
//
// Commands for a cluster:
//
//	entry.go        connections to the node that is the argument
//	map.go          the map of a cluster
//	call.go         calls on one node or on all nodes
//	names.go        the nodes of EPMD
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"erluv/config"

	"golang.org/x/sys/unix"
)

// version is the release; revision is set by the Makefile with -ldflags.
const version = "0.2.0"

var revision string

// withCgo is true in a binary that was built with cgo, which refuses to start. Such a binary is not
// static, so the child, which may open no file, could not load it. Its C library also looks up
// users with the code that nsswitch.conf(5) of the machine names. Tests reset it, because -race
// needs cgo.
var withCgo bool

func main() {
	if withCgo {
		complain(os.Stderr, "this binary was built with cgo, and is not static: build it with CGO_ENABLED=0, as make does")
		os.Exit(statusFailure)
	}
	if len(os.Args) > 1 && isRole(os.Args[1]) {
		os.Exit(playRole(os.Args[1], os.Args[2:]))
	}
	c := command{given: make(map[string]string), machine: machine(), stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(c.main(os.Args[1:]))
}

// machine is a variable for the tests, whose users have no home directories.
var machine = config.ThisMachine

// The exit statuses of this package. 3 and 4 are mainproc's.
const (
	statusOK      = 0
	statusFailure = 1
	statusUsage   = 2 // usage and configuration
)

// A usageError is an invalid command line.
type usageError struct{ error }

// A silentError has been reported elsewhere. Its status is the process's exit status.
type silentError struct{ status int }

func (silentError) Error() string { return "reported" }

// A statusError has an exit status of its own.
type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

// status reports an error of a command, one line for each problem, and returns the exit
// status.
func status(err error, command string, stderr io.Writer) int {
	var usage usageError
	var invalid *config.Error
	var silent silentError
	var own statusError
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &silent):
		return silent.status
	case isClosedOutput(err):
		return statusOfSignal + int(unix.SIGPIPE)
	case errors.As(err, &own):
		complain(stderr, err.Error())
		return own.status
	case errors.As(err, &usage):
		complain(stderr, err.Error()+"; see "+command+" --help")
		return statusUsage
	case errors.As(err, &invalid):
		complain(stderr, invalid.Problems...)
		return statusUsage
	}
	complain(stderr, err.Error())
	return exitStatus(err)
}

// isClosedOutput reports whether a command has failed because the reader of its standard output has
// gone, as after `| head`. Other programs die of SIGPIPE then, without a word.
func isClosedOutput(err error) bool {
	var failed *fs.PathError
	return errors.As(err, &failed) && failed.Path == os.Stdout.Name() && failed.Err == unix.EPIPE
}

// complain writes each problem on a line of its own.
func complain(w io.Writer, problems ...string) {
	for _, problem := range problems {
		fmt.Fprintf(w, "erluv: %s\n", strings.ReplaceAll(strings.TrimSpace(problem), "\n", " "))
	}
}

func versionText() string {
	if revision == "" {
		return version
	}
	return version + " (" + revision + ")"
}
