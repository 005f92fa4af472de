package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

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
	cmd := l.add(&cobra.Command{
		Use: "logs W", Short: "print the last output of a program",
		Long: `Print the last output of a program with the option keep. After its end erluv
keeps the output as long as the program is in its history. W is the program's
name, its os_pid or the number of its worker, as in erluv ps.

On a terminal, control characters are escaped. Elsewhere each byte is printed as
the program wrote it. With --format json, each line is an object.`,
		Example: `  sudo erluv logs web
  sudo erluv logs -f -n 20 web
  sudo erluv logs --since 10m --stderr 17.0`,
		Args: exactly(1, "logs takes a program"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: l.run,
	}, true)
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
	ctx, cancel := untilSignal()
	defer cancel()
	c, err := l.connect(ctx, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	who, err := logged(ctx, c, args[0])
	if err != nil {
		return err
	}
	p := l.printer()
	for first := true; ; first = false {
		log, err := logOf(ctx, c, args[0], who, opts)
		if ctx.Err() != nil && l.follow {
			return p.end()
		}
		if err != nil && c.Err() != nil {
			if why := l.fate(c); why != "" {
				err = fmt.Errorf("%s, and the log is lost with it", why)
			}
		}
		if err == nil && first && log.lost > 0 && log.lost == log.next {
			complain(l.stderr, fmt.Sprintf("erluv keeps none of its %d bytes: other logs have all the memory of log_ring_total", log.lost))
		}
		if err == nil {
			err = p.print(log)
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
			return log, fmt.Errorf("there is no program %s, and none that erluv remembers: erluv ps -a lists them", what)
		case etf.Atom("not_kept"):
			return log, fmt.Errorf("the output of %s is not kept: it was started without the option keep", what)
		case etf.Atom("lost"):
			return log, fmt.Errorf("the output of %s is lost: erluv's child has crashed since", what)
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

func (l *logs) printer() logPrinter {
	w := bufio.NewWriter(l.stdout)
	if l.format == config.FormatJSON {
		return &jsonLog{w: w, open: map[string]*logLine{}}
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
	Time   int64  `json:"time"` // milliseconds since 1970: of its first byte
	Stream string `json:"stream"`
	Text   string `json:"text"` // without the end of the line
}

// maxLogLine is the most of a line that one object has, in bytes.
const maxLogLine = 64 << 10

// jsonLog prints an object for each line of a stream.
type jsonLog struct {
	w     *bufio.Writer
	open  map[string]*logLine
	begun bool
}

func (j *jsonLog) print(log programLog) error {
	if j.begun && log.lost > 0 {
		j.flush()
		fmt.Fprintf(j.w, "{\"lost\":%d}\n", log.lost)
	}
	j.begun = true
	for _, p := range log.output {
		for data := p.data; len(data) > 0; {
			line := j.open[p.stream]
			if line == nil {
				line = &logLine{Time: p.time, Stream: p.stream}
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
