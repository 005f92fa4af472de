// Package looptest has a loop for tests of what takes long: its time stands still, and
// goes on to the next timer in a round that has nothing else to tell.
package looptest

import (
	"time"

	"erluv/loop"
)

// New makes such a loop.
func New() (*loop.Loop, error) { return loop.NewWith(new(clock)) }

type clock struct{ at time.Duration }

func (c *clock) Now() time.Duration               { return c.at }
func (c *clock) Wait(time.Duration) time.Duration { return 0 }
func (c *clock) Idle(next time.Duration)          { c.at = max(c.at, next) }
