package main

import (
	"context"
	"errors"
	"fmt"
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
	node    string
	known   *overview.Overview
	shown   []*overview.Program
	trouble string // why there is no new picture; "": there is
}

const (
	// topEvery is the interval between pictures. A look costs about as much as waking up all
	// processes: see TestTopCosts.
	topEvery = 2 * time.Second

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
	cmd := t.add(&cobra.Command{
		Use: "top", Short: "show the programs of an erluv live",
		Long: `Show the programs of an erluv on this machine every two seconds, with the
resources that they and erluv use. The keys c, m, o, t, n, s and x sort by
processor time, memory, output, age, name, state and restarts. The key r
reverses the order, and q quits. If standard output is not a terminal, top
prints one picture.`,
		Example: `  sudo erluv top
  sudo erluv top -o memory -n 10
  sudo erluv top --once --format json`,
		RunE: t.run,
	}, true)
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
	t.by, t.known = overview.ByCPU, overview.New()
	if t.order != "" {
		t.by = overview.Order(t.order)
	}
	ctx, cancel := untilSignal()
	defer cancel()
	c, err := t.connect(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	t.node = c.Peer().Name
	var s *screen
	if !t.once && t.format != config.FormatJSON {
		if out, ok := t.stdout.(*os.File); ok {
			s = openScreen(os.Stdin, out)
		}
	}
	if s == nil {
		return t.print(ctx, c)
	}
	defer s.close()
	quit := make(chan os.Signal, 1) // Go's own end by SIGQUIT would not restore the terminal
	signal.Notify(quit, unix.SIGQUIT)
	defer signal.Stop(quit)
	tick := time.NewTicker(topEvery)
	defer tick.Stop()
	for {
		if c = t.look(ctx, c); ctx.Err() != nil {
			return nil
		}
		if done, err := t.stand(ctx, s, tick.C, quit); done || err != nil {
			return err
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

// look looks, and connects again if the connection has ended, mostly with the child.
func (t *top) look(ctx context.Context, c *connection) *connection {
	err := c.Err()
	if err != nil {
		var again *connection
		if again, err = t.connect(ctx, nil); err == nil {
			c.Close()
			c, t.known, t.node = again, overview.New(), again.Peer().Name
		}
	}
	if err == nil {
		err = t.known.Look(ctx, callBy(c), t.shown)
	}
	if t.trouble = ""; err != nil {
		t.trouble = err.Error()
	}
	return c
}

func callBy(c caller) overview.Call {
	return func(ctx context.Context, to, request etf.Term) (etf.Term, error) { return look(ctx, c, to, request) }
}

// print prints one picture, with rates over the interval between two looks.
func (t *top) print(ctx context.Context, c caller) error {
	for i := range 2 {
		if i > 0 {
			select {
			case <-time.After(rateTime):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		// Measure all programs, since any may be among the first.
		if err := t.known.Look(ctx, callBy(c), slices.Clone(t.known.Programs)); err != nil {
			return err
		}
		if i == 0 {
			if err := t.known.Look(ctx, callBy(c), slices.Clone(t.known.Programs)); err != nil {
				return err
			}
		}
	}
	if t.format == config.FormatJSON {
		return printJSON(t.stdout, t.report())
	}
	_, err := fmt.Fprintln(t.stdout, strings.Join(t.picture(widthOf(t.stdout), 0, false, time.Now()), "\n"))
	return err
}
