// Prog is the static program of the tests.
//
//	prog exit STATUS
//	prog out SEED STDOUT-BYTES STDERR-BYTES STATUS
//	prog read BYTES STATUS  reads that many, and prints how many there were and their CRC
//	prog fds                lists its descriptors, then reads a byte
//	prog talk TAG LINES END prints and accepts TAG alone; END: eof, exit or shut
package main

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	n := make([]int, len(os.Args))
	for i, a := range os.Args[2:] {
		n[i], _ = strconv.Atoi(a)
	}
	switch os.Args[1] {
	case "exit":
		os.Exit(n[0])
	case "out":
		out(n[0], n[1:3])
		os.Exit(n[3])
	case "read":
		sum := crc32.NewIEEE()
		count, _ := io.CopyN(sum, os.Stdin, int64(n[0]))
		fmt.Println(count, sum.Sum32())
		os.Exit(n[1])
	case "fds":
		fds()
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	case "talk":
		os.Exit(talk(os.Args[2], n[1], os.Args[4]))
	}
	os.Exit(98)
}

func out(seed int, sizes []int) {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	for i, f := range []*os.File{os.Stdout, os.Stderr} {
		b := make([]byte, sizes[i])
		_, _ = rng.Read(b)
		if _, err := f.Write(b); err != nil {
			os.Exit(99)
		}
	}
}

// fds lists number, type, device and inode. It opens no file, because the list would include it.
// With GODEBUG=containermaxprocs=0, the Go runtime does not either.
func fds() {
	var list strings.Builder
	for fd := range 1024 {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) == nil {
			fmt.Fprintf(&list, "%d %o %d %d\n", fd, st.Mode&syscall.S_IFMT, st.Dev, st.Ino)
		}
	}
	fmt.Print(list.String())
}

func talk(tag string, lines int, end string) int {
	words := strings.Repeat(tag+"\n", lines)
	fmt.Print(words)
	fmt.Fprint(os.Stderr, words)
	switch end {
	case "exit":
		return 0 // unread input does not matter
	case "shut":
		for fd := range 3 {
			_ = syscall.Close(fd)
		}
		return 0
	}
	in := bufio.NewReader(os.Stdin)
	for {
		if c, err := in.Peek(1); err != nil || c[0] == '\x04' {
			return 0 // VEOF, if the terminal leaves that to the program
		}
		line, err := in.ReadString('\n')
		if err != nil || line != tag+"\n" {
			fmt.Printf("%q\n", line)
			return 77
		}
		fmt.Print(line)
	}
}
