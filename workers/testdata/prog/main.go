// Prog is the static program of the tests.
//
//	prog exit STATUS
//	prog out SEED STDOUT-BYTES STDERR-BYTES STATUS
package main

import (
	"math/rand/v2"
	"os"
	"strconv"
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
		rng := rand.NewChaCha8([32]byte{byte(n[0]), byte(n[0] >> 8)})
		for i, f := range []*os.File{os.Stdout, os.Stderr} {
			b := make([]byte, n[1+i])
			_, _ = rng.Read(b)
			if _, err := f.Write(b); err != nil {
				os.Exit(99)
			}
		}
		os.Exit(n[3])
	}
	os.Exit(98)
}
