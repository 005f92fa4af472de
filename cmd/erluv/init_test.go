package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestInitIsCheap: all roles are one executable. So main, the child and each spawner pay for the
// initialization of each package. With GODEBUG=inittrace=1 the Go runtime prints the allocations of
// each package (package runtime).
func TestInitIsCheap(t *testing.T) {
	const most = 16 << 10 // bytes for each package
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &trace)
	}
	seen := 0
	for lines := bufio.NewScanner(&trace); lines.Scan(); {
		// init erluv/web @2.1 ms, 0.30 ms clock, 89016 bytes, 1075 allocs
		f := strings.Fields(lines.Text())
		if len(f) < 9 || f[0] != "init" || !strings.HasPrefix(f[1], "erluv") || strings.HasPrefix(f[1], "erluv/test/") {
			continue // erluv/test/ is in this test alone
		}
		seen++
		if bytes, err := strconv.Atoi(f[7]); err != nil || bytes > most {
			t.Errorf("%s, which is %q bytes: more than %d (%v)", f[1], f[7], most, err)
		}
	}
	if seen < 5 {
		t.Errorf("%d packages of erluv were seen:\n%s", seen, &trace)
	}
}
