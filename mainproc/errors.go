package mainproc

import (
	"errors"

	"erluv/mainproc/crew"
	"erluv/sandbox"
	"erluv/wire/dist"
)

// The exit statuses for errors of Run and Ping. cmd/erluv also uses 2, for errors in the command
// line and the configuration.
const (
	statusOK      = 0
	statusFailure = 1
	statusNever   = 2 // this machine will never have what the configuration requires
	statusRefused = 3 // by the node: cookie, name, not allowed
	statusDied    = 4 // no node has requested a new child
)

// ExitStatus returns the exit status of the process for an error of Run or Ping.
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
