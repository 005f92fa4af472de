package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A fact is one line about the measured software or the machine.
type fact struct{ name, is string }

// facts describes the machine, the node and erluv. The node has reported the facts in told.
func facts(binary string, told map[string]string, rounds int) ([]fact, error) {
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot read what processors there are: %w", err)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("cannot ask for the kernel's name: %w", err)
	}
	var sys unix.Sysinfo_t
	if err := unix.Sysinfo(&sys); err != nil {
		return nil, fmt.Errorf("cannot ask for the size of memory: %w", err)
	}
	built, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("cannot read what %s was built with: %w", binary, err)
	}
	kernel := []string{unix.ByteSliceToString(uts.Sysname[:]), unix.ByteSliceToString(uts.Release[:]), unix.ByteSliceToString(uts.Machine[:])}
	list := []fact{
		{"processors", processors(string(cpuinfo))},
		{"memory", fmt.Sprintf("%.1f GiB", float64(sys.Totalram)*float64(sys.Unit)/(1<<30))},
		{"kernel", strings.Join(kernel, " ")},
		{"Erlang", fmt.Sprintf("OTP %s, erts %s, %s schedulers", told["otp"], told["erts"], told["schedulers"])},
		{"Go", built.GoVersion},
		{"erluv", told["version"] + ", contained by " + told["contained"]},
	}
	if before := told["before"]; before != "" {
		list = append(list, fact{"before", before})
	}
	return append(list, []fact{
		{"date", time.Now().UTC().Format("2006-01-02 15:04 UTC")},
		{"rounds", fmt.Sprint(rounds)},
	}...), nil
}

// processors reads /proc/cpuinfo and returns the number and the model of the processors. Where the
// kernel knows no model, it returns the architecture.
func processors(cpuinfo string) string {
	n, model := 0, runtime.GOARCH
	for line := range strings.Lines(cpuinfo) {
		switch name, v, _ := strings.Cut(line, ":"); strings.TrimSpace(name) {
		case "processor":
			n++
		case "model name":
			model = strings.TrimSpace(v)
		}
	}
	return fmt.Sprintf("%d × %s", n, model)
}

func printFacts(w io.Writer, list []fact) {
	fmt.Fprint(w, "| | |\n|---|---|\n")
	for _, f := range list {
		fmt.Fprintf(w, "| %s | %s |\n", f.name, f.is)
	}
	fmt.Fprintln(w)
}
