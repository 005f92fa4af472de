package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"erluv/cluster"
	"erluv/config"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// logs is the command that prints the last output of a program.
type logs struct {
	operator
	follow, stderrOnly bool
	lines              int
	since              string
}

func (c *command) logs() *cobra.Command {
	l := &logs{operator: operator{command: c}}
	cmd := l.addNode(l.add(&cobra.Command{
		Use: "logs W", Short: "print the last output of a program",
		Long: `Print the last output of a program with the option keep. After its end erluv
keeps the output as long as the program is in its history. W is the program's
name, its os_pid or the number of its worker, as in erluv ps.

On a terminal, control characters are escaped. Elsewhere each byte is printed as
the program wrote it. With --format json, each line is an object.

With --node W is the name of a program that one of the erluvs has.`,
		Example: `  sudo erluv logs web
  sudo erluv logs -f -n 20 web
  sudo erluv logs --since 10m --stderr 17.0
  erluv logs -f --node shop@myhost web`,
		Args: exactly(1, "logs takes a program"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: l.run,
	}, true))
	set := cmd.Flags()
	set.BoolVarP(&l.follow, "follow", "f", false, "also print new output, until the program ends")
	set.VarP(lineCount{&l.lines}, "lines", "n", "print only this number of lines, the last ones")
	set.VarP(&choice{&l.since, "time", nil}, "since", "", "print only output after this time: 2006-01-02T15:04:05Z, or 10m for the last ten minutes")
	set.BoolVar(&l.stderrOnly, "stderr", false, "print only stderr")
	return cmd
}

// lineCount is the value of --lines.
type lineCount struct{ to *int }

func (n lineCount) Set(s string) error {
	var lines uint32
	if _, err := fmt.Sscanf(s, "%d", &lines); err != nil || fmt.Sprint(lines) != s {
		return errors.New("takes a number")
	}
	*n.to = int(lines)
	return nil
}

func (n lineCount) String() string { return "" }

func (n lineCount) Type() string { return "number" }

// followWait is how long erluv waits for output before it answers without any.
const followWait = 20 * time.Second

func (l *logs) run(cmd *cobra.Command, args []string) error {
	opts, err := l.options(cmd.Flags().Changed("lines"), time.Now())
	if err != nil {
		return usageError{err}
	}
	if l.node != "" && !isName(args[0]) {
		return usageError{errNotNamed(args[0])}
	}
	ctx, cancel := untilSignal()
	defer cancel()
	c, hosts, err := l.hosts(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	h, who, err := l.choose(ctx, hosts, args[0])
	if err != nil {
		return err
	}
	p := l.printer(h.name)
	for first := true; ; first = false {
		log, err := logOf(ctx, h, args[0], who, opts)
		if ctx.Err() != nil && l.follow {
			return p.end()
		}
		if err != nil && c.Err() != nil && l.node == "" {
			if why := l.fate(c); why != "" {
				err = fmt.Errorf("%s, and the log is lost with it", why)
			}
		}
		if err == nil && first && log.lost > 0 && log.lost == log.next {
			complain(l.stderr, fmt.Sprintf("erluv keeps none of its %d bytes: other logs have all the memory of log_ring_total", log.lost))
		}
		if err == nil {
			err = p.print(log)
		} else if l.node != "" {
			err = fmt.Errorf("%s: %w", cluster.Show(h.name), err)
		}
		if err != nil {
			return errors.Join(err, p.end())
		}
		if !l.follow || !log.open && len(log.output) == 0 {
			return p.end()
		}
		if log.worker != (etf.Pid{}) {
			who = log.worker // another program can get the name
		}
		opts = append(l.stream(), etf.Pair{Key: etf.Atom("from"), Value: log.next},
			etf.Pair{Key: etf.Atom("wait"), Value: followWait.Milliseconds()})
	}
}

// choose finds the erluv that has the program, and the program there.
func (l *logs) choose(ctx context.Context, hosts []told[host], what string) (host, etf.Term, error) {
	if l.node == "" {
		h := hosts[0].value
		who, err := logged(ctx, h, what)
		return h, who, err
	}
	nothing := etf.Map{{Key: etf.Atom("lines"), Value: int64(0)}}
	answers := among(hosts, func(h host) (holder, error) {
		log, err := logOf(ctx, h, what, etf.Atom(what), nothing)
		return holder{h, log.open}, err
	})
	h, err := l.only(answers, what)
	return h, etf.Atom(what), err
}

// A holder is an erluv that has the log of a program. The log is open while the program runs.
type holder struct {
	host
	open bool
}

// only returns the one erluv that has the log. If several have one, only those count where the program runs.
func (l *logs) only(answers []told[holder], what string) (host, error) {
	var all, open []host
	var failed, noLog error
	for _, t := range answers {
		switch err := fmt.Errorf("%s: %w", cluster.Show(t.node), t.err); {
		case t.err == nil && t.value.open:
			open = append(open, t.value.host)
		case t.err == nil:
			all = append(all, t.value.host)
		case errors.Is(err, errNoLog):
			noLog = err
		case !errors.Is(err, errNoProgram):
			failed = fmt.Errorf("no erluv that answers has a program %s", what)
			complain(l.stderr, err.Error())
		}
	}
	if len(open) > 0 {
		all = open
	}
	switch len(all) {
	case 0:
		return host{}, cmp.Or(noLog, failed, noProgram(what))
	case 1:
		return all[0], nil
	}
	names := make([]string, len(all))
	for i, h := range all {
		names[i] = cluster.Show(h.name)
	}
	return host{}, fmt.Errorf("several erluvs have a program %s: choose by --at one of %s", what, strings.Join(names, ", "))
}

// errNoLog is the error if an erluv has a program, and not its output.
var errNoLog = errors.New("there is no log")

// noLog says why.
type noLog string

func (e noLog) Error() string { return string(e) }

func (noLog) Is(target error) bool { return target == errNoLog }

// logged finds the program that a user names. It runs, or has ended.
func logged(ctx context.Context, c caller, what string) (etf.Term, error) {
	to, err := find(ctx, c, what)
	if errors.Is(err, errNoProgram) {
		var end program
		end, err = findEnd(ctx, c, what)
		to = end.worker
	}
	return to, err
}

// options returns the options of the first request.
func (l *logs) options(lines bool, now time.Time) (etf.Map, error) {
	opts := l.stream()
	if lines {
		opts = append(opts, etf.Pair{Key: etf.Atom("lines"), Value: int64(l.lines)})
	}
	if l.since != "" {
		since, err := time.Parse(time.RFC3339, l.since)
		if ago, wrong := time.ParseDuration(l.since); wrong == nil && ago >= 0 {
			since, err = now.Add(-ago), nil
		}
		if err != nil {
			return nil, fmt.Errorf("--since takes a duration such as 10m, or a time such as 2006-01-02T15:04:05Z, not %q", l.since)
		}
		opts = append(opts, etf.Pair{Key: etf.Atom("since"), Value: since.UnixMilli()})
	}
	return opts, nil
}

func (l *logs) stream() etf.Map {
	if l.stderrOnly {
		return etf.Map{{Key: etf.Atom("stream"), Value: etf.Atom("stderr")}}
	}
	return etf.Map{}
}

// programLog is the answer to a request for a log.
type programLog struct {
	worker etf.Pid
	output []logPiece
	next   int64
	lost   int64 // bytes that are missing from output
	open   bool  // more may come
}

// logPiece is output that came at once.
type logPiece struct {
	time   int64 // milliseconds since 1970
	stream string
	data   []byte
}

// logOf makes the request.
func logOf(ctx context.Context, c caller, what string, who etf.Term, opts etf.Map) (log programLog, err error) {
	answer, err := look(ctx, c, gen.Manager, etf.Tuple{etf.Atom("log"), who, opts})
	var refused *refused
	if errors.As(err, &refused) {
		switch refused.reason {
		case etf.Atom("noproc"):
			return log, fmt.Errorf("%w %s, and none that erluv remembers: erluv ps -a lists them", errNoProgram, what)
		case etf.Atom("not_kept"):
			return log, noLog(fmt.Sprintf("the output of %s is not kept: it was started without the option keep", what))
		case etf.Atom("lost"):
			return log, noLog(fmt.Sprintf("the output of %s is lost: erluv's child has crashed since", what))
		}
	}
	if err != nil {
		return log, err
	}
	wrong := errors.New("erluv answers with something else than a log")
	ok, _ := answer.(etf.Tuple)
	if len(ok) != 2 {
		return log, wrong
	}
	m, _ := ok[1].(etf.Map)
	for _, p := range m {
		switch p.Key {
		case etf.Atom("worker"):
			log.worker, _ = p.Value.(etf.Pid)
		case etf.Atom("next"):
			log.next, _ = p.Value.(int64)
		case etf.Atom("lost"):
			log.lost, _ = p.Value.(int64)
		case etf.Atom("open"):
			log.open = p.Value == etf.Atom("true")
		case etf.Atom("output"):
			list, _ := p.Value.(etf.List)
			for _, e := range list {
				t, _ := e.(etf.Tuple)
				if len(t) != 3 {
					return log, wrong
				}
				at, ok1 := t[0].(int64)
				stream, ok2 := t[1].(etf.Atom)
				data, ok3 := t[2].(etf.Binary)
				if !ok1 || !ok2 || !ok3 {
					return log, wrong
				}
				log.output = append(log.output, logPiece{at, string(stream), data})
			}
		}
	}
	return log, nil
}

// logPrinter prints output as it comes.
type logPrinter interface {
	print(programLog) error
	end() error // no more comes
}

// printer returns the printer for the format. With --node an object as JSON names the erluv.
func (l *logs) printer(node string) logPrinter {
	w := bufio.NewWriter(l.stdout)
	if l.format == config.FormatJSON {
		if l.node == "" {
			node = ""
		}
		return &jsonLog{w: w, node: node, open: map[string]*logLine{}}
	}
	return &textLog{w: w, complain: l.stderr, safe: widthOf(l.stdout) > 0}
}

// textLog prints the bytes of all streams in their order.
type textLog struct {
	w        *bufio.Writer
	complain io.Writer
	safe     bool // escape the output for a terminal
	text     escaper
	begun    bool
}

func (t *textLog) print(log programLog) error {
	if t.begun && log.lost > 0 {
		if err := t.w.Flush(); err != nil {
			return err
		}
		complain(t.complain, fmt.Sprintf("%d bytes are missing here: they came faster than they were printed", log.lost))
	}
	t.begun = true
	for _, p := range log.output {
		if t.safe {
			p.data = t.text.escape(p.data)
		}
		_, _ = t.w.Write(p.data) // Flush has the error
	}
	return t.w.Flush()
}

func (t *textLog) end() error {
	_, _ = t.w.Write(t.text.end())
	return t.w.Flush()
}

// logLine is a line of one stream, as JSON.
type logLine struct {
	Node   string `json:"node,omitempty"` // with --node
	Time   int64  `json:"time"`           // milliseconds since 1970: of its first byte
	Stream string `json:"stream"`
	Text   string `json:"text"` // without the end of the line
}

// lostOutput is the object in place of bytes that are missing.
type lostOutput struct {
	Node string `json:"node,omitempty"`
	Lost int64  `json:"lost"`
}

// maxLogLine is the most of a line that one object has, in bytes.
const maxLogLine = 64 << 10

// jsonLog prints an object for each line of a stream.
type jsonLog struct {
	w     *bufio.Writer
	node  string
	open  map[string]*logLine
	begun bool
}

func (j *jsonLog) print(log programLog) error {
	if j.begun && log.lost > 0 {
		j.flush()
		_ = printJSON(j.w, lostOutput{j.node, log.lost}) // Flush has the error
	}
	j.begun = true
	for _, p := range log.output {
		for data := p.data; len(data) > 0; {
			line := j.open[p.stream]
			if line == nil {
				line = &logLine{Node: j.node, Time: p.time, Stream: p.stream}
				j.open[p.stream] = line
			}
			n := min(len(data), maxLogLine-len(line.Text))
			end := bytes.IndexByte(data[:n], '\n')
			if end >= 0 {
				line.Text, data = line.Text+string(data[:end]), data[end+1:]
			} else {
				line.Text, data = line.Text+string(data[:n]), data[n:]
			}
			if end >= 0 || len(line.Text) == maxLogLine {
				j.put(line)
			}
		}
	}
	return j.w.Flush()
}

func (j *jsonLog) put(line *logLine) {
	delete(j.open, line.Stream)
	_ = printJSON(j.w, line) // Flush has the error
}

// flush prints lines without an end.
func (j *jsonLog) flush() {
	for _, stream := range []string{"stdout", "stderr"} {
		if line := j.open[stream]; line != nil {
			j.put(line)
		}
	}
}

func (j *jsonLog) end() error {
	j.flush()
	return j.w.Flush()
}
