// Erluv is a hidden Erlang node that runs programs of the operating system.
//
// This package is its command line: it picks the role, reads the flags, keeps
// the cookie out of sight, goes to the background when told to, and turns errors
// into lines on standard error and an exit status. What erluv does is mainproc's.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"erluv/config"
)

// version is the release; revision is set by the Makefile with -ldflags.
const version = "0.2.0"

var revision string

// withCgo is set in a binary that was built with cgo. Such a one is not static, so the
// child, which may open no file, could not load it, and its C library looks users up by
// code that anybody may have configured (nsswitch.conf(5)): it refuses to start. Tests
// set it back, for -race needs cgo.
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

// The exit statuses that are this package's own; 3 and 4 are mainproc's.
const (
	statusOK      = 0
	statusFailure = 1
	statusUsage   = 2 // usage and configuration
)

// A usageError is a command line that is not understood.
type usageError struct{ error }

// A silentError has been reported elsewhere; its status is that of the process.
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
