package mainproc

import (
	"errors"

	"erluv/mainproc/crew"
	"erluv/sandbox"
	"erluv/wire/dist"
)

// The exit statuses that Run's and Ping's errors stand for; 2 is cmd/erluv's too, for the
// command line and the configuration.
const (
	statusOK      = 0
	statusFailure = 1
	statusNever   = 2 // this machine will never have what is asked for
	statusRefused = 3 // by the node: cookie, name, not allowed
	statusDied    = 4 // nobody has wanted a new child
)

// ExitStatus is the exit status of the process for an error of Run or Ping.
func ExitStatus(err error) int {
	var refused *dist.Refused
	var lacking *sandbox.Lacking
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &lacking):
		return statusNever
	case errors.Is(err, crew.ErrDieTimeout):
		return statusDied
	case errors.Is(err, dist.ErrCookie), errors.As(err, &refused):
		return statusRefused
	}
	return statusFailure
}
