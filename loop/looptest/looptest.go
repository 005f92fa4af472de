// Package looptest has a loop for tests of long periods. Its time stands still, and jumps to the
// next timer in a round without events.
package looptest

import (
	"time"

	"erluv/loop"
)

// New makes such a loop. The error is that of loop.NewWith.
func New() (*loop.Loop, error) { return loop.NewWith(new(clock)) }

type clock struct{ at time.Duration }

func (c *clock) Now() time.Duration               { return c.at }
func (c *clock) Wait(time.Duration) time.Duration { return 0 }
func (c *clock) Idle(next time.Duration)          { c.at = max(c.at, next) }
