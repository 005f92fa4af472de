package crew

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"erluv/ipc"
	"erluv/mainproc/permit"

	"golang.org/x/sys/unix"
)

// An attacker may take a role over, and programs or nodes may cause its lines. So main reads a
// limited number of lines of each role in a second, and more at once after a quiet time. At the
// level trace an operator watches the log; at other levels the log is stored. A role drops lines
// that find no room, and counts them (ipc.Log.Dropped).
const (
	lineRate, lineBurst   = 500, 2_000
	traceRate, traceBurst = 5_000, 20_000
)

// logged reads the lines of one role, and logs them. Its goroutine owns it, and ends with the role.
type logged struct {
	role    *process
	log     *slog.Logger
	file    *os.File // owns the descriptor of conn
	conn    *ipc.Conn
	heard   permit.Hearing
	pace    pace
	closing chan struct{} // closed: run does not wait for the pace any more
	done    chan struct{}
}

// giveLog gives the role the conversation for its lines.
func (p *process) giveLog() error {
	if p.log == nil {
		return nil
	}
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	ours.NoDescriptors()
	if err := unix.SetNonblock(ours.FD(), true); err != nil { // the runtime then waits for it without a thread
		_ = ours.Close()
		return err
	}
	l := &logged{
		role: p, log: p.log, conn: ours, file: os.NewFile(uintptr(ours.FD()), "log"),
		heard: permit.Hearing{Who: permit.Logged, At: permit.AtWork},
		pace:  pace{rate: lineRate, burst: lineBurst}, closing: make(chan struct{}), done: make(chan struct{}),
	}
	level := levelOf(p.log)
	if level == ipc.LevelTrace {
		l.pace = pace{rate: traceRate, burst: traceBurst}
	}
	p.logged = l
	go l.run() // ends with the role, or with close
	return p.send(ipc.Logs{Level: level}, theirs.FD())
}

// levelOf returns the lowest level that a logger wants.
func levelOf(log *slog.Logger) slog.Level {
	level := ipc.LevelTrace
	for level < slog.LevelError && !log.Enabled(context.Background(), level) {
		level += 4
	}
	return level
}

// close reads the remaining lines of the role, which has ended.
func (l *logged) close() {
	if l == nil {
		return
	}
	close(l.closing)
	if raw, err := l.file.SyscallConn(); err == nil { // for a process that may still have the role's end
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RD) })
	}
	<-l.done
	_ = l.file.Close()
}

func (l *logged) run() {
	defer close(l.done)
	raw, err := l.file.SyscallConn()
	if err != nil {
		return // close came first
	}
	buf := make([]byte, ipc.MaxPacket)
	for {
		var n int
		no := raw.Read(func(uintptr) bool {
			n, _, err = l.conn.TryRecv(buf)
			return !errors.Is(err, ipc.ErrEmpty)
		})
		if no != nil || errors.Is(err, io.EOF) {
			return
		}
		var m ipc.Message
		if err == nil {
			m, err = l.heard.Hear(buf[:n])
		}
		if err != nil {
			l.log.Error("a role cannot be relied on any more and is ended", "role", l.role.role.String(), "os_pid", l.role.pid, "error", err)
			l.role.kill()
			return
		}
		l.say(m.(ipc.Log)) // all other messages are not permitted
		if d := l.pace.take(time.Now()); d > 0 {
			select {
			case <-time.After(d):
			case <-l.closing:
			}
		}
	}
}

// say logs a line. The role has checked the level, and logs some lines at any level.
func (l *logged) say(m ipc.Log) {
	r := slog.NewRecord(time.Now(), m.Level, permit.Printable(m.Text), 0)
	r.Add("role", l.role.role.String())
	for _, a := range m.Attributes {
		r.AddAttrs(a.Attr(permit.Printable))
	}
	if m.Dropped > 0 {
		r.Add("dropped_before", m.Dropped)
	}
	_ = l.log.Handler().Handle(context.Background(), r)
}

// pace limits how fast events may happen: rate in a second, and after a quiet time up to burst at
// once.
type pace struct {
	rate, burst float64
	gone        float64 // of the burst
	at          time.Time
}

// take counts an event, and returns the time until the next may happen.
func (p *pace) take(now time.Time) time.Duration {
	p.gone = max(0, p.gone-now.Sub(p.at).Seconds()*p.rate) + 1
	p.at = now
	return time.Duration(max(0, p.gone+1-p.burst) / p.rate * float64(time.Second))
}
