package web

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"erluv/overview"
	"erluv/stat"
	"erluv/wire/etf"
)

// pageRows is how many programs a page has.
const pageRows = 100

// asked is the request for a page: see askedFor.
type asked struct {
	by      overview.Order
	reverse bool
	find    string
	from    int
}

// askedFor reads the request, and ignores meaningless values.
func askedFor(q url.Values) asked {
	a := asked{by: overview.ByCPU, find: strings.TrimSpace(q.Get("find"))}
	if by := overview.Order(q.Get("order")); slices.Contains(overview.Orders, by) {
		a.by = by
	}
	a.reverse = q.Get("reverse") == "1"
	if n, err := strconv.Atoi(q.Get("from")); err == nil && n > 0 {
		a.from = n
	}
	return a
}

// query is the reverse of askedFor.
func (a asked) query() string {
	q := url.Values{}
	if a.by != overview.ByCPU {
		q.Set("order", string(a.by))
	}
	if a.reverse {
		q.Set("reverse", "1")
	}
	if a.find != "" {
		q.Set("find", a.find)
	}
	if a.from > 0 {
		q.Set("from", strconv.Itoa(a.from))
	}
	return q.Encode()
}

func (a asked) address() string {
	if q := a.query(); q != "" {
		return "/?" + q
	}
	return "/"
}

// Top is the beginning of all pages.
type Top struct {
	Base         string // the prefix of all addresses
	Node, Status string
	Trouble      string // why there is no new data; "": there is
	Facts        []Fact
	States       []Fact
	Roles        []RoleView
	CPU, Memory  Graph
	Output       Graph
	Trusted      bool
	Acts         bool
	Token        string // for forms; "": not for this browser
	Events       string // the address of live changes
}

// Fact is a value with its name.
type Fact struct{ Name, Value string }

// RoleView is a process of erluv's own.
type RoleView struct {
	Name, CPU, Memory string
	PID               int64
}

// ListView is the page with all programs.
type ListView struct {
	Top
	Columns        []Column
	Rows           []Row
	Find           string
	Order          string
	Reverse        bool
	First, Last    int
	Total          int
	Before, Behind string // addresses; "": there is no such page
}

// Column is the head of a column. Without an Address the table cannot be sorted by it.
type Column struct {
	Name, Class, Address, Sorted string
}

// Row is a program in the table.
type Row struct {
	ID, Number, Name, Command, User, State, Class string
	Address                                       string
	PID, Since, Restarts, CPU, Memory, Output     string
	CPULine, MemoryLine                           Spark
}

// ProgramView is the page of one program.
type ProgramView struct {
	Top
	Row
	Full        []string // the command with all arguments; nil: not for this browser
	Details     []Fact
	Graphs      []Graph
	Restartable bool
	worker      etf.Pid
	Output      OutputView
}

// OutputView is the last output of a program.
type OutputView struct {
	Why   string // why there is no output; "": there is
	Lines []Line
	Open  []Line // lines that have no end yet
	count int    // all lines so far
}

// Max returns how many lines a page keeps.
func (OutputView) Max() int { return tailLines }

// top is called with the board locked.
func (h *handler) top(trusted bool) Top {
	b := h.board
	s := &b.known.Sums
	t := Top{Base: h.base, Node: b.node, Status: s.Status, Trouble: b.trouble, Trusted: trusted, Acts: trusted && h.given.Acts}
	if t.Acts {
		t.Token = h.given.Token
	}
	if t.Node == "" {
		t.Node = "erluv"
	}
	if b.trouble != "" && !b.looked.IsZero() {
		t.Trouble = fmt.Sprintf("%s. What is shown was so %s ago.", b.trouble, age(time.Since(b.looked)))
	}
	if !b.known.Looked {
		return t
	}
	t.Facts = []Fact{{"Up", age(time.Duration(s.Uptime) * time.Millisecond)}, {"Nodes", count(s.Nodes)}}
	if s.HasLoad {
		t.Facts = append(t.Facts, Fact{"Load", fmt.Sprintf("%.2f %.2f %.2f", s.Load1, s.Load5, s.Load15)})
	}
	if s.HasMemory {
		t.Facts = append(t.Facts, Fact{"Memory free", bytesOf(float64(s.Memory)) + " of " + bytesOf(float64(s.MemoryTotal))})
	}
	t.Facts = append(t.Facts, Fact{"Started", count(s.Started)})
	t.Facts = append(t.Facts, Fact{"Failed", count(failures(s))}, Fact{"Streams paused", fmt.Sprintf("%.0f", b.known.Paused)}, Fact{"Crashes", count(s.Crashes)})
	for _, c := range s.States {
		t.States = append(t.States, Fact{c.Name, count(c.N)})
	}
	for _, r := range s.Roles {
		t.Roles = append(t.Roles, RoleView{r.Name, percent(r.Usage), memory(r.Usage), r.PID})
	}
	share, used := sharesOf(s), 0.0
	for _, r := range s.Roles {
		used += float64(r.Memory)
	}
	t.CPU = graph("Processor", "cpu", b.all.cpu, niceTop(b.all.cpu.most(), 0.05), percentOf(share), percentOf)
	t.Memory = graph("Memory", "memory", b.all.memory, niceBytes(b.all.memory.most()), bytesOf(used), bytesOf)
	t.Output = graph("Output", "output", b.all.output, niceBytes(b.all.output.most()), rateOf(b.known.Rate), rateOf)
	return t
}

// failures returns how many programs have failed: all ends except normal and stopped.
func failures(s *overview.Sums) (n int64) {
	for _, c := range s.Ended {
		if c.Name != "normal" && c.Name != "stopped" {
			n += c.N
		}
	}
	return n
}

// sharesOf returns how many processors erluv's own processes use.
func sharesOf(s *overview.Sums) (share float64) {
	for _, r := range s.Roles {
		share += r.Share
	}
	return share
}

// columns of the table.
var columns = []struct {
	name  string
	by    overview.Order
	class string
}{
	{"Program", overview.ByName, ""},
	{"State", overview.ByState, ""},
	{"Processor", overview.ByCPU, "graph"},
	{"Memory", overview.ByMemory, "graph"},
	{"Output", overview.ByOutput, "number wide"},
	{"Since", overview.BySince, "number middle"},
	{"Restarts", overview.ByRestarts, "number wide"},
	{"User", "", "wide"},
	{"PID", "", "number wide"},
}

func (h *handler) listView(a asked, trusted bool) ListView {
	b := h.board
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.DeleteFunc(b.known.Sorted(a.by, a.reverse), func(p *overview.Program) bool { return !found(p, a.find) })
	v := ListView{Top: h.top(trusted), Find: a.find, Order: string(a.by), Reverse: a.reverse, Total: len(list)}
	a.from = min(a.from, max(0, len(list)-1)/pageRows*pageRows)
	rows := list[a.from:min(len(list), a.from+pageRows)]
	b.want(rows)
	v.Events = h.base + "/events?" + a.query()
	if v.First, v.Last = a.from+1, a.from+len(rows); len(rows) == 0 {
		v.First = 0
	}
	if a.from > 0 {
		to := a
		to.from = max(0, a.from-pageRows)
		v.Before = h.base + to.address()
	}
	if v.Last < len(list) {
		to := a
		to.from = a.from + pageRows
		v.Behind = h.base + to.address()
	}
	for _, c := range columns {
		head := Column{Name: c.name, Class: c.class}
		if c.by != "" {
			to := asked{by: c.by, find: a.find}
			if c.by == a.by {
				down := c.by == overview.ByCPU || c.by == overview.ByMemory || c.by == overview.ByOutput || c.by == overview.ByRestarts
				head.Sorted = [2]string{"ascending", "descending"}[bit(down != a.reverse)]
				to.reverse = !a.reverse
			}
			head.Address = h.base + to.address()
		}
		v.Columns = append(v.Columns, head)
	}
	now := time.Now()
	for _, p := range rows {
		v.Rows = append(v.Rows, h.row(p, now))
	}
	return v
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// found reports whether a program matches the search.
func found(p *overview.Program, find string) bool {
	if find == "" {
		return true
	}
	find = strings.ToLower(find)
	return strings.Contains(strings.ToLower(p.Called()), find) || strings.Contains(strings.ToLower(word(p)), find) || strings.Contains(p.State, find)
}

// word returns the program's file, without directories and arguments, which not every browser may
// see.
func word(p *overview.Program) string {
	if len(p.Command) == 0 {
		return "-"
	}
	return stat.Printable(path.Base(p.Command[0]))
}

func (h *handler) row(p *overview.Program, now time.Time) Row {
	b := h.board
	past := b.pastOf(p)
	r := Row{
		ID: "p-" + strings.ReplaceAll(p.Number(), ".", "-"), Number: p.Number(), Address: h.base + "/program/" + p.Number(), Name: stat.Printable(p.Called()), Command: word(p), User: stat.Printable(p.User),
		State: p.State, Class: "state " + p.State, PID: "–", Since: "–", Restarts: count(p.Restarts), CPU: percent(p.Usage), Memory: memory(p.Usage), Output: "–",
		CPULine: spark(past.cpu, max(0.2, past.cpu.most()*1.1)), MemoryLine: spark(past.memory, past.memory.most()*4/3),
	}
	if p.Held {
		r.State, r.Class = "paused", "state paused"
	}
	if p.PID != 0 {
		r.PID = strconv.FormatInt(p.PID, 10)
	}
	if p.Started != 0 {
		r.Since = age(now.Sub(time.UnixMilli(p.Started)))
	}
	if p.HasRate {
		r.Output = rateOf(p.Rate)
	}
	return r
}

func (h *handler) programView(number string, trusted bool) (v ProgramView, ok bool) {
	b := h.board
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.known.Find(number)
	if p == nil {
		return v, false
	}
	b.want([]*overview.Program{p})
	v = ProgramView{Top: h.top(trusted), Row: h.row(p, time.Now()), Restartable: p.Restartable(), worker: p.Worker}
	v.Events = h.base + "/events?program=" + url.QueryEscape(number)
	if trusted {
		for _, a := range p.Command {
			v.Full = append(v.Full, stat.Printable(a))
		}
	}
	total := "–"
	if p.Known {
		total = age(time.Duration(p.CPU) * time.Millisecond)
	}
	v.Details = []Fact{
		{"Worker", p.Number()},
		{"User", v.User},
		{"PID", v.PID},
		{"Since", v.Since},
		{"Restart", p.Restart},
		{"Restarts", v.Restarts},
		{"Processor time", total},
		{"Output of this run", bytesOf(float64(p.Output))},
	}
	v.Output = b.outputOf(p.Worker, trusted)
	past := b.pastOf(p)
	v.Graphs = []Graph{
		graph("Processor", "cpu", past.cpu, niceTop(past.cpu.most(), 0.1), v.Row.CPU, percentOf),
		graph("Memory", "memory", past.memory, niceBytes(past.memory.most()), v.Row.Memory, bytesOf),
		graph("Output", "output", past.output, niceBytes(past.output.most()), v.Row.Output, rateOf),
	}
	return v, true
}

// outputOf returns the output of a program, and follows it from now on.
func (b *board) outputOf(w etf.Pid, trusted bool) OutputView {
	if !trusted {
		return OutputView{Why: "Output is shown at the address that erluv web prints, which holds a token."}
	}
	t := b.watch(w)
	if t == nil {
		return OutputView{Why: "The output of too many programs is shown already."}
	}
	return OutputView{Why: t.why, Lines: slices.Clone(t.lines), Open: t.unended(), count: t.count}
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

func percent(u overview.Usage) string {
	if !u.HasShare {
		return "–"
	}
	return percentOf(u.Share)
}

func percentOf(share float64) string {
	if share >= 0.0995 || share == 0 {
		return fmt.Sprintf("%.0f %%", share*100)
	}
	return fmt.Sprintf("%.1f %%", share*100)
}

func memory(u overview.Usage) string {
	if !u.Known {
		return "–"
	}
	return bytesOf(float64(u.Memory))
}

func rateOf(v float64) string { return bytesOf(v) + "/s" }

// bytesOf returns a number of bytes in the unit that keeps it below 1,024.
func bytesOf(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; v >= 1023.5 && i < len(units)-1; i++ {
		v /= 1024
	}
	if v < 9.95 && i > 0 {
		return fmt.Sprintf("%.1f %s", v, units[i])
	}
	return fmt.Sprintf("%.0f %s", v, units[i])
}

// age returns a duration, roughly, so that a page does not change each second.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh %02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %02dh", d/day, d%day/time.Hour)
}
