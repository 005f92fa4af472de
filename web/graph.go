package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// slot is the time of one point of a graph in milliseconds, and slots the number of points.
	slot  = 5000
	slots = 60
)

// series is a value over five minutes. A point without a measurement has the value before it.
type series struct {
	at     int64 // the slot of the last value
	values [slots]float32
	from   int // how many of the first points are unknown
}

// newSeries returns a series that begins at a time, without values yet.
func newSeries(at int64) *series { return &series{at: at / slot, from: slots} }

// put stores a value at a time, in milliseconds. Of several values in one slot the largest stays.
func (s *series) put(at int64, v float64) {
	now := at / slot
	last := s.values[slots-1]
	if now == s.at && s.from < slots {
		s.values[slots-1] = max(last, float32(v))
		return
	}
	move := int(min(max(now-s.at, 0), slots))
	if s.from == slots {
		s.from = slots - 1
	} else {
		copy(s.values[:], s.values[move:])
		for i := slots - move; i < slots; i++ {
			s.values[i] = last
		}
		s.from = max(0, s.from-move)
	}
	s.at = now
	s.values[slots-1] = float32(v)
}

// most returns the largest value.
func (s *series) most() float64 {
	m := float32(0)
	for _, v := range s.values[s.from:] {
		m = max(m, v)
	}
	return float64(m)
}

// line returns the series as the path of an SVG, width by height, with top at the upper edge. Steps
// with the same value are one line, so that the path of an idle program is short.
func (s *series) line(width, height int, top float64) string {
	if s.from >= slots || top <= 0 {
		return ""
	}
	x := func(i int) string { return trim(float64(i) * float64(width) / (slots - 1)) }
	y := func(v float32) string {
		return trim(float64(height) - 1 - math.Min(float64(v)/top, 1)*float64(height-2))
	}
	var b strings.Builder
	first := min(s.from, slots-2) // a single point is a short line
	before := y(s.values[max(first, s.from)])
	fmt.Fprintf(&b, "M%s %s", x(first), before)
	for i := first + 1; i < slots; i++ {
		now := y(s.values[i])
		switch {
		case now != before:
			fmt.Fprintf(&b, "L%s %s", x(i), now)
		case i == slots-1 || y(s.values[i+1]) != now:
			fmt.Fprintf(&b, "H%s", x(i))
		}
		before = now
	}
	return b.String()
}

func trim(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

// area returns the area between a line and the lower edge.
func area(line string, width, height int) string {
	if line == "" {
		return ""
	}
	start, _, _ := strings.Cut(strings.TrimPrefix(line, "M"), " ")
	return fmt.Sprintf("%sV%dH%sZ", line, height, start)
}

// Spark is a small graph in a table, next to its value.
type Spark struct{ Line, Area string }

func spark(s *series, top float64) Spark {
	line := s.line(sparkWidth, sparkHeight, top)
	return Spark{line, area(line, sparkWidth, sparkHeight)}
}

const (
	sparkWidth, sparkHeight = 64, 18
	graphWidth, graphHeight = 640, 120
)

// Graph is a large graph, with words.
type Graph struct {
	Title, Now, Most string
	Words            string // the whole graph in words, for people who do not see it
	Line, Area       string
	Kind             string // a class of the style
}

func graph(title, kind string, s *series, top float64, now string, words func(float64) string) Graph {
	line := s.line(graphWidth, graphHeight, top)
	most := words(s.most())
	return Graph{
		Title: title, Kind: kind, Now: now, Most: words(top), Line: line, Area: area(line, graphWidth, graphHeight),
		Words: fmt.Sprintf("%s in the last five minutes: now %s, at most %s", title, now, most),
	}
}

// niceTop returns a value slightly above v, for the upper edge of a graph.
func niceTop(v, least float64) float64 {
	if v = max(v*1.1, least); v <= 0 {
		return 1
	}
	scale := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if v <= m*scale {
			return m * scale
		}
	}
	return v
}

// niceBytes does the same for bytes, and returns a power of two.
func niceBytes(v float64) float64 { return math.Exp2(math.Ceil(math.Log2(max(v*1.05, 1024)))) }
