package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usualWidth is the width of a terminal that does not know its size, such as a serial line.
const usualWidth = 80

// widthOf returns the number of columns of a terminal, or 0 if w is not a terminal.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return cmp.Or(int(size.Col), usualWidth)
}

// psColumns are the columns of ps.
var psColumns = []string{"PROGRAM", "STATE", "USER", "PID", "SINCE", "RESTARTS", "CPU", "MEMORY", "EXIT", "COMMAND"}

// print prints a table of programs, with the oldest of each host first. Ended programs follow in
// their own order.
func (p *ps) print(w io.Writer, list []told[[]programRow], now time.Time, width int) error {
	table := [][]string{p.withHost(psColumns)}
	for _, t := range list {
		slices.SortStableFunc(t.value, func(a, b programRow) int {
			if n := isEnd(a) - isEnd(b); n != 0 || isEnd(a) == 1 {
				return n
			}
			return cmp.Or(cmp.Compare(orNever(a.Started), orNever(b.Started)), cmp.Compare(a.Worker, b.Worker))
		})
		for _, r := range t.value {
			table = append(table, p.ofHost(t.node, r.cells(now)))
		}
	}
	_, err := io.WriteString(w, grid(table, width))
	return err
}

// isEnd returns 1 for a program that has ended, otherwise 0.
func isEnd(r programRow) int {
	if r.State == stateEnded {
		return 1
	}
	return 0
}

func orNever(started *int64) int64 {
	if started == nil {
		return 1 << 62
	}
	return *started
}

const (
	// maxCell is the largest width of a column on a terminal. The last column has the rest.
	maxCell = 24

	// gap separates two columns.
	gap = "  "
)

// grid returns a table as text, with one line for each row. With a width no line is longer.
func grid(table [][]string, width int) string {
	wide := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			if width > 0 && i < len(row)-1 {
				cell = cut(cell, maxCell)
			}
			row[i] = cell
			wide[i] = max(wide[i], wideness(cell))
		}
	}
	var b strings.Builder
	for _, row := range table {
		line := ""
		for i, cell := range row[:len(row)-1] {
			line += pad(cell, wide[i]) + gap
		}
		line += row[len(row)-1]
		if width > 0 {
			line = cut(line, width)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// age returns a duration in its two largest units.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// size returns a number of bytes in the unit that keeps it below 1,024.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	f, unit := float64(n)/1024, 0
	for f >= 1023.95 && unit < len(units)-1 {
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f%c", f, units[unit])
}
