package overview

import (
	"cmp"
	"slices"
	"strings"
)

// Order is by what programs are sorted.
type Order string

// The orders. Those of what programs use begin with the most, the others with the least.
const (
	ByCPU      Order = "cpu"
	ByMemory   Order = "memory"
	ByOutput   Order = "output"
	BySince    Order = "since" // the oldest first
	ByRestarts Order = "restarts"
	ByName     Order = "name"
	ByState    Order = "state"
)

// Orders are all of them.
var Orders = []Order{ByCPU, ByMemory, ByOutput, BySince, ByRestarts, ByName, ByState}

// Sorted is the programs in an order, or in its reverse. Those that are alike stay as they
// began, so that lines do not change places for nothing.
func (o *Overview) Sorted(by Order, reverse bool) []*Program {
	list := slices.Clone(o.Programs)
	compare := by.compare
	slices.SortStableFunc(list, func(a, b *Program) int {
		c := compare(a, b)
		if reverse {
			c = -c
		}
		return c
	})
	return list
}

func (by Order) compare(a, b *Program) int {
	switch by {
	case ByCPU:
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(b.CPU, a.CPU))
	case ByMemory:
		return cmp.Compare(b.Memory, a.Memory)
	case ByOutput:
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(b.Output, a.Output))
	case ByRestarts:
		return cmp.Compare(b.Restarts, a.Restarts)
	case ByName:
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.Command, b.Command))
	case ByState:
		return strings.Compare(a.State, b.State)
	}
	return cmp.Compare(a.began(), b.began())
}

// began is when the program was started; one that has not comes last.
func (p *Program) began() int64 {
	if p.Started == 0 {
		return 1<<63 - 1
	}
	return p.Started
}
