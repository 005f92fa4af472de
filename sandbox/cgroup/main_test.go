package cgroup

import (
	"fmt"
	"os"
	"testing"
)

// The test binary plays a main that is alone in its group: see playAlone.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "alone" {
		if err := playAlone(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
