package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"erluv/config"
	"erluv/overview"
	"erluv/wire/etf"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// top is the command that lists programs again and again.
type top struct {
	operator
	once  bool
	order string
	lines lines

	by      overview.Order
	reverse bool

	conn    *connection
	erluvs  []*watched
	listed  time.Time // the last time that erluvs were listed
	trouble error     // there is no connection
}

// watched is an erluv that top shows.
type watched struct {
	host
	known   *overview.Overview
	shown   []*overview.Program
	trouble error // why there is no new picture of it
}

const (
	// topEvery is the interval between pictures. A look costs about as much as waking up all
	// processes: see TestTopCosts.
	topEvery = 2 * time.Second

	// topBound bounds a look, so that top soon says that an erluv hangs.
	topBound = 10 * time.Second

	// listEvery is the interval between two looks for erluvs, with --node.
	listEvery = 30 * time.Second

	// rateTime is the time over which a picture that is printed once has its rates.
	rateTime = time.Second
)

// lines is a number of lines; 0: all.
type lines int

func (n *lines) Set(s string) error {
	v, err := strconv.ParseUint(s, 10, 31)
	if err != nil || v == 0 {
		return errors.New("takes a number of lines, 1 or more")
	}
	*n = lines(v)
	return nil
}

func (n *lines) String() string { return "" }

func (n *lines) Type() string { return "lines" }

func (c *command) top() *cobra.Command {
	t := &top{operator: operator{command: c}}
	cmd := t.addNode(t.add(&cobra.Command{
		Use: "top", Short: "show the programs of an erluv live",
		Long: `Show the programs of an erluv on this machine, or of others, every two seconds,
with the resources that they and erluv use. The keys c, m, o, t, n, s and x
sort by processor time, memory, output, age, name, state and restarts. The key
r reverses the order, and q quits. If standard output is not a terminal, top
prints one picture.`,
		Example: `  sudo erluv top
  sudo erluv top -o memory -n 10
  sudo erluv top --once --format json
  erluv top --node shop@myhost`,
		RunE: t.run,
	}, true))
	set := cmd.Flags()
	words := make([]string, len(overview.Orders))
	for i, o := range overview.Orders {
		words[i] = string(o)
	}
	set.VarP(&choice{&t.order, "order", words}, "order", "o", "sort by "+strings.Join(words, ", ")+" (default cpu)")
	set.VarP(&t.lines, "lines", "n", "show this number of programs (default: as many as fit)")
	set.BoolVar(&t.once, "once", false, "print one picture of all programs, and exit")
	return cmd
}

func (t *top) run(*cobra.Command, []string) error {
	t.by = overview.ByCPU
	if t.order != "" {
		t.by = overview.Order(t.order)
	}
	ctx, cancel := untilSignal()
	defer cancel()
	c, hosts, err := t.hosts(ctx)
	if err != nil {
		return err
	}
	defer func() { t.conn.Close() }()
	t.watch(c, hosts)
	var s *screen
	if !t.once && t.format != config.FormatJSON {
		if out, ok := t.stdout.(*os.File); ok {
			s = openScreen(os.Stdin, out)
		}
	}
	if s == nil {
		return t.print(ctx)
	}
	defer s.close()
	quit := make(chan os.Signal, 1) // Go's own end by SIGQUIT would not restore the terminal
	signal.Notify(quit, unix.SIGQUIT)
	defer signal.Stop(quit)
	tick := time.NewTicker(topEvery)
	defer tick.Stop()
	for {
		if t.looking(ctx, s, quit) {
			return nil
		}
		if done, err := t.stand(ctx, s, tick.C, quit); done || err != nil {
			return err
		}
	}
}

// looking looks, and handles keys meanwhile: an erluv may hang. It returns true to end.
func (t *top) looking(ctx context.Context, s *screen, quit <-chan os.Signal) (done bool) {
	ctx, cancel := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() { // waited for below
		defer close(looked)
		t.look(ctx)
	}()
	defer func() {
		cancel()
		<-looked
	}()
	for {
		select {
		case <-looked:
			return ctx.Err() != nil
		case <-ctx.Done():
			return true
		case <-quit:
			return true
		case <-s.job:
			s.stop()
		case key, ok := <-s.keys:
			if !ok || key == 'q' {
				return true
			}
			t.press(key)
		}
	}
}

// stand shows the picture until the next one is due. It returns true after the last one.
func (t *top) stand(ctx context.Context, s *screen, tick <-chan time.Time, quit <-chan os.Signal) (done bool, err error) {
	for {
		width, height := s.size()
		if err := s.show(t.picture(width, height, true, time.Now())); err != nil {
			return true, err
		}
		select {
		case <-tick:
			return false, nil
		case <-ctx.Done():
			return true, nil
		case <-quit:
			return true, nil
		case <-s.resized:
		case <-s.job:
			s.stop()
		case key, ok := <-s.keys:
			if !ok || key == 'q' {
				return true, nil
			}
			t.press(key)
		}
	}
}

// orderKeys maps keys to orders.
var orderKeys = map[byte]overview.Order{
	'c': overview.ByCPU, 'm': overview.ByMemory, 'o': overview.ByOutput, 't': overview.BySince,
	'n': overview.ByName, 's': overview.ByState, 'x': overview.ByRestarts,
}

func (t *top) press(key byte) {
	if by, ok := orderKeys[key]; ok {
		t.by, t.reverse = by, false
	} else if key == 'r' {
		t.reverse = !t.reverse
	}
}

// watch makes these erluvs the watched ones. With a connection that is still there, top keeps what it knows.
func (t *top) watch(c *connection, hosts []told[host]) {
	before := t.erluvs
	if t.conn != nil && t.conn != c {
		t.conn.Close()
		before = nil
	}
	t.conn, t.listed, t.erluvs = c, time.Now(), make([]*watched, len(hosts))
	for i, h := range hosts {
		w := &watched{known: overview.New()}
		if j := slices.IndexFunc(before, func(w *watched) bool { return w.name == h.node }); j >= 0 {
			w = before[j]
		}
		w.host, w.trouble = host{h.value.caller, h.node}, h.err
		t.erluvs[i] = w
	}
}

// look looks at all erluvs. It connects again if the connection has ended, mostly with the child.
func (t *top) look(ctx context.Context) {
	if t.trouble = t.renew(ctx); t.trouble != nil {
		return
	}
	beside(width, len(t.erluvs), func(i int) {
		w := t.erluvs[i]
		if w.caller == nil {
			return // it did not answer when it was looked for
		}
		ctx, cancel := context.WithTimeoutCause(ctx, topBound, fmt.Errorf("it has not answered within %v", topBound))
		defer cancel()
		w.trouble = w.look(ctx, w.shown)
	})
}

// renew connects and lists again where that is due.
func (t *top) renew(ctx context.Context) error {
	c, ended := t.conn, t.conn.Err() != nil
	if !ended && (t.node == "" || time.Since(t.listed) < listEvery) {
		return nil
	}
	var hosts []told[host]
	var err error
	if ended {
		c, hosts, err = t.hosts(ctx)
	} else {
		hosts, err = t.hostsBy(ctx, c)
	}
	if err == nil {
		t.watch(c, hosts)
	}
	return err
}

func (w *watched) look(ctx context.Context, shown []*overview.Program) error {
	return w.known.Look(ctx, func(ctx context.Context, to, request etf.Term) (etf.Term, error) { return look(ctx, w, to, request) }, shown)
}

// print prints one picture, with rates over the interval between two looks.
func (t *top) print(ctx context.Context) error {
	known := make([]told[host], len(t.erluvs))
	for i, w := range t.erluvs {
		known[i] = told[host]{w.name, w.host, w.trouble}
	}
	list := among(known, func(h host) (*watched, error) {
		w := &watched{host: h, known: overview.New()}
		return w, w.measure(ctx)
	})
	if t.node == "" && list[0].err != nil {
		return list[0].err
	}
	return show(&t.operator, list, func(_ string, w *watched) any { return t.report(w) }, func(out io.Writer, list []told[*watched]) error {
		t.erluvs = nil
		for _, answered := range list {
			t.erluvs = append(t.erluvs, answered.value)
		}
		_, err := fmt.Fprintln(out, strings.Join(t.picture(widthOf(out), 0, false, time.Now()), "\n"))
		return err
	})
}

// measure measures all programs, since any may be among the first, with rates over the interval between two
// looks.
func (w *watched) measure(ctx context.Context) error {
	for range 2 { // the first look finds the programs
		if err := w.look(ctx, slices.Clone(w.known.Programs)); err != nil {
			return err
		}
	}
	select {
	case <-time.After(rateTime):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return w.look(ctx, slices.Clone(w.known.Programs))
}
