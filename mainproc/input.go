package mainproc

import (
	"fmt"
	"os"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// input watches standard input for its end. The end means that erluv's starter wants it to stop: an
// Erlang port was closed, or a shell's pipe, or ssh. The input itself is read and discarded.
type input struct {
	fd   int
	wake [2]int        // a pipe that stop closes
	gone chan struct{} // closed when the goroutine has ended
}

// watchInput calls ended once fd has ended. It returns nil if there is nothing to watch: files,
// terminals and /dev/null do not show when the other side goes.
func watchInput(fd int, ended func()) (*input, error) {
	var st unix.Stat_t
	if err := eintr.Fstat(fd, &st); err != nil {
		return nil, nil // closed, so it cannot end
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFIFO && kind != unix.S_IFSOCK {
		return nil, nil
	}
	in := &input{fd: fd, gone: make(chan struct{})}
	if err := unix.Pipe2(in.wake[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot watch standard input: %w", os.NewSyscallError("pipe2", err))
	}
	go func() { // ends with stop, or with the input
		defer close(in.gone)
		if in.drain() {
			ended()
		}
	}()
	return in, nil
}

// drain reads until the input ends, or stop is called. It reports whether the input has ended.
func (in *input) drain() bool {
	fds := []unix.PollFd{
		{Fd: int32(in.fd), Events: unix.POLLIN},
		{Fd: int32(in.wake[0]), Events: unix.POLLIN},
	}
	buf := make([]byte, 4096)
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return true
		}
		if fds[1].Revents != 0 {
			return false
		}
		if fds[0].Revents == 0 {
			continue
		}
		n, err := unix.Read(in.fd, buf)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if n <= 0 {
			return true
		}
	}
}

// stop ends the watch. ended must not call it.
func (in *input) stop() {
	if in == nil {
		return
	}
	_ = unix.Close(in.wake[1])
	<-in.gone
	_ = unix.Close(in.wake[0])
}
