package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func seccomp(prog *unix.SockFprog) error {
	return call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(prog)))
}

func call(trap uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, e := unix.RawSyscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
		return e
	}
	return nil
}

// playCall makes one system call. Its arguments are the number and the call's arguments; "self"
// stands for our pid.
func playCall(args []string) error {
	var n [7]uintptr
	for i, a := range args {
		if a == "self" {
			a = strconv.Itoa(os.Getpid())
		}
		v, err := strconv.ParseUint(a, 0, 64)
		if err != nil {
			return err
		}
		n[i] = uintptr(v)
	}
	say("call", call(n[0], n[1:]...))
	return nil
}

var sink [][]byte

// playExercise makes the Go runtime use all its means: threads, collections, stacks, timers,
// signals.
func playExercise([]string) error {
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if i%2 == 0 {
				runtime.LockOSThread() // ends with its thread
			}
			m := map[string]int{}
			for j := range 2000 {
				m[fmt.Sprint(i, j)] = j
			}
			time.Sleep(time.Millisecond)
			recurse(1000)
		})
	}
	for range 50 {
		sink = append(sink, make([]byte, 1<<20))
	}
	all.Wait()
	sink = nil
	runtime.GC()
	if _, err := os.ReadFile("/proc/self/stat"); err != nil {
		return err
	}
	if _, err := os.ReadDir("/usr"); err != nil {
		return err
	}
	fmt.Println("exercise: ok")
	return nil
}

func recurse(n int) (pad [64]int) {
	if n > 0 {
		pad = recurse(n - 1)
		pad[n%64]++
	}
	return pad
}

// playThreads makes a refused call on each of several threads, new ones too.
func playThreads([]string) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		all.Go(func() {
			runtime.LockOSThread()
			err := call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, 19)
			mu.Lock()
			defer mu.Unlock()
			say("setpriority", err)
		})
	}
	all.Wait()
	return nil
}

// playFiles opens files. Each path comes with "r", "w", "c" (create), "d" (list), "x" (execute),
// "u" (unlink) or "t" (truncate).
func playFiles(args []string) error {
	for ; len(args) >= 2; args = args[2:] {
		how, path := args[0], args[1]
		say(how+" "+filepath.Base(path), try(how, path))
	}
	return nil
}

func try(how, path string) error {
	switch how {
	case "d":
		_, err := os.ReadDir(path)
		return err
	case "x":
		p, err := os.StartProcess(path, []string{path}, &os.ProcAttr{})
		if err == nil {
			_, err = p.Wait()
		}
		return err
	case "u":
		return os.Remove(path)
	case "t":
		return os.Truncate(path, 0)
	}
	flags := map[string]int{"r": unix.O_RDONLY, "w": unix.O_WRONLY, "c": unix.O_WRONLY | unix.O_CREAT}[how]
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0o600)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// playNet tries networks. The argument is the address of a listener.
func playNet(args []string) error {
	address := args[0]
	say("tcp", dial("tcp", address))
	say("udp", dial("udp", address))
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // Go listens by MPTCP by default
	l, err := plain.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err == nil {
		_ = l.Close()
	}
	say("bind", err)
	for name, s := range map[string][3]int{
		"unix": {unix.AF_UNIX, unix.SOCK_STREAM, 0}, "mptcp": {unix.AF_INET, unix.SOCK_STREAM, 262},
		"raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, "netlink": {unix.AF_NETLINK, unix.SOCK_RAW, 0},
	} {
		fd, err := unix.Socket(s[0], s[1], s[2])
		if err == nil {
			_ = unix.Close(fd)
		}
		say(name, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Listen(fd, 1) // binds by itself
		_ = unix.Close(fd)
	}
	say("listen", err)
	say("fastopen", fastOpen(address))
	var params [120]byte
	say("io_uring", call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params))))
	return nil
}

func dial(network, address string) error {
	c, err := net.DialTimeout(network, address, 5*time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err
}

// fastOpen connects by the first sendto(2).
func fastOpen(address string) error {
	host, port, _ := strings.Cut(address, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := unix.SockaddrInet4{Port: n}
	copy(to.Addr[:], net.ParseIP(host).To4())
	return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL, &to)
}
