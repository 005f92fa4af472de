package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// With detach, erluv starts itself again as a daemon and waits for it at a pipe:
//
//	foreground                          daemon: own session, /, no terminal
//	   │ erluv run --report=3 ────────────► │
//	   │ ◄───────────────────── "up\n", EOF │  serves; the foreground ends with 0
//	   │ ◄──────────────── what failed, EOF │  ends; the foreground prints it and
//	   │                                    │  ends with the same status
const upMessage = "up\n"

// maxReport bounds the error text that the foreground prints, in bytes.
const maxReport = 64 << 10

// detach starts the daemon and waits until it is up or has failed. If ctx ends earlier, detach
// tells the daemon to stop.
func (c *command) detach(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot go to the background: %w", err)
	}
	defer r.Close()
	cmd, err := c.background(w)
	if err != nil {
		w.Close()
		return fmt.Errorf("cannot go to the background: %w", err)
	}
	err = cmd.Start()
	w.Close()
	for _, f := range cmd.ExtraFiles[1:] {
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("cannot go to the background: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(unix.SIGTERM) }) // ended already: fine
	defer stop()
	report, err := io.ReadAll(io.LimitReader(r, maxReport))
	if err == nil && string(report) == upMessage {
		return cmd.Process.Release()
	}
	err = cmd.Wait()
	if len(report) > 0 {
		_, _ = io.WriteString(c.stderr, strings.TrimPrefix(string(report), upMessage))
	} else {
		complain(c.stderr, fmt.Sprintf("the daemon ended before it was up (%s)", cmd.ProcessState))
	}
	if code := cmd.ProcessState.ExitCode(); err != nil && code > 0 {
		return silentError{code}
	}
	return silentError{1} // it ended by a signal, or with status 0 before it was up
}

// background makes the command that starts the daemon, which reports to w. A terminal cannot hold
// the log, because it goes away with its user.
func (c *command) background(w *os.File) (*exec.Cmd, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: self(), Args: append(c.argv("run"), "--"+reportFlag+"=3"),
		Env: c.cleanEnviron(), Stdin: null, Stdout: null, Stderr: os.Stderr,
		ExtraFiles:  []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil {
		cmd.Stderr = null
	}
	if _, found := c.secrets(); found {
		f, err := c.seal()
		if err != nil {
			return nil, err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		cmd.Args = append(cmd.Args, "--"+handoverFlag+"=4")
	}
	return cmd, nil
}

// daemon is the other side. It leaves the directory in which it was started, and returns the
// function that reports that erluv is up. Until then errors go to the waiting process.
func (c *command) daemon() (up func(), err error) {
	if err := os.Chdir("/"); err != nil {
		return nil, err
	}
	w := c.stderr.(*os.File)
	return sync.OnceFunc(func() {
		_, _ = io.WriteString(w, upMessage) // an error means that no process waits any more: serve anyway
		w.Close()
		c.stderr = os.Stderr
	}), nil
}

// openReport sends errors to the pipe.
func (c *command) openReport() error {
	fd, err := strconv.Atoi(c.report)
	var st unix.Stat_t
	if err != nil || fd < 3 || eintr.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return usageError{fmt.Errorf("--%s is for erluv itself", reportFlag)}
	}
	unix.CloseOnExec(fd)
	c.stderr = os.NewFile(uintptr(fd), "report")
	return nil
}
