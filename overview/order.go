package overview

import (
	"cmp"
	"slices"
	"strings"
)

// Order is an order of programs.
type Order string

// The orders. Orders by usage begin with the highest, the others with the lowest.
const (
	ByCPU      Order = "cpu"
	ByMemory   Order = "memory"
	ByOutput   Order = "output"
	BySince    Order = "since" // the oldest first
	ByRestarts Order = "restarts"
	ByName     Order = "name"
	ByState    Order = "state"
)

// Orders has all orders.
var Orders = []Order{ByCPU, ByMemory, ByOutput, BySince, ByRestarts, ByName, ByState}

// Sorted returns the programs in an order, or in its reverse. Equal programs stay in the order of
// their starts, so that lines do not change places without need.
func (o *Overview) Sorted(by Order, reverse bool) []*Program {
	list := slices.Clone(o.Programs)
	Sort(list, by, reverse)
	return list
}

// Sort is Sorted for a list of programs, which may be of several erluvs.
func Sort(list []*Program, by Order, reverse bool) {
	compare := by.compare
	slices.SortStableFunc(list, func(a, b *Program) int {
		c := compare(a, b)
		if reverse {
			c = -c
		}
		return c
	})
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

// began returns the start time of the program. A program that has not started comes last.
func (p *Program) began() int64 {
	if p.Started == 0 {
		return 1<<63 - 1
	}
	return p.Started
}
