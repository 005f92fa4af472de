// Command tally runs suites of Go tests and counts their results.
//
//	tally run FILE [PROFILE=PERCENT] COMMAND...
//	                   run COMMAND, a go test -json; write its counts and time to FILE
//	tally sum DIR [SUITE...]
//	                   print time and counts of each file of DIR, and add them; the last line
//	                   has the sum. A SUITE without a file counts as failed
//
// With PROFILE=PERCENT the command writes a profile (go test -coverprofile). All its tests together
// must reach at least this percentage of the statements in the profile.
//
// It prints the output of failed tests in full, and one line for each package. Under CI=true a
// skipped test counts as failed, because each test must run there. Both commands exit with 1 when
// something failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ci := os.Getenv("CI") == "true"
	var err error
	switch args := os.Args[1:]; {
	case len(args) >= 3 && args[0] == "run":
		var least reach
		command := args[2:]
		if name, percent, ok := strings.Cut(command[0], "="); ok && len(command) > 1 {
			least.profile = name
			least.percent, err = strconv.ParseFloat(percent, 64)
			command = command[1:]
		}
		if err == nil {
			err = run(args[1], command, least, ci)
		}
	case len(args) >= 2 && args[0] == "sum":
		err = sum(args[1], args[2:], os.Stdout)
	default:
		err = fmt.Errorf("usage: tally run FILE [PROFILE=PERCENT] COMMAND... | tally sum DIR [SUITE...]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

// run runs one suite. The file is written even if tests fail, so that the sum
// knows of them.
func run(file string, command []string, least reach, ci bool) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	fmt.Printf("--- %s\n", filepath.Base(file))
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %q: %v", command[0], err)
	}
	s := suite{ci: ci, out: os.Stdout, output: map[test][]string{}}
	if err := s.read(out); err != nil {
		return fmt.Errorf("cannot read the results of %q: %v", command[0], err)
	}
	// A command that fails without a failed test, or without any test, has failed.
	if err := cmd.Wait(); (err != nil || s.counts.Passed == 0) && s.counts.Failed == 0 {
		fmt.Printf("FAIL %s: %v, %d tests passed\n", strings.Join(command, " "), err, s.counts.Passed)
		s.counts.Failed++
	}
	if err := least.check(); err != nil {
		fmt.Println("FAIL", err)
		s.counts.Failed++
	}
	text, err := json.Marshal(result{s.counts, time.Since(begin).Seconds()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	if s.counts.Failed > 0 {
		return fmt.Errorf("%s: %v", filepath.Base(file), s.counts)
	}
	return nil
}

// reach is the percentage of the statements in a profile of go test -coverprofile that all tests
// together must reach.
type reach struct {
	profile string // "": no check
	percent float64
}

func (r reach) check() error {
	if r.profile == "" {
		return nil
	}
	text, err := os.ReadFile(r.profile)
	if err != nil {
		return err
	}
	// Each package's tests have a line for a block: FILE:FROM,TO STATEMENTS COUNT.
	reached, sizes := map[string]bool{}, map[string]int{}
	for line := range strings.Lines(string(text)) {
		var block string
		var size, count int
		if n, _ := fmt.Sscan(line, &block, &size, &count); n == 3 {
			reached[block] = reached[block] || count > 0
			sizes[block] = size
		}
	}
	hit, all := 0, 0
	for block, size := range sizes {
		all += size
		if reached[block] {
			hit += size
		}
	}
	percent := 100 * float64(hit) / float64(max(all, 1))
	fmt.Printf("%.1f %% of %d statements\n", percent, all)
	if percent < r.percent {
		return fmt.Errorf("the tests reach %.1f %% of the statements in %s, and must reach %.1f %%", percent, r.profile, r.percent)
	}
	return nil
}

// sum adds up the results of run. A suite without a result never began, or was killed.
func sum(dir string, suites []string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	slices.Sort(files)
	var total counts
	for _, name := range suites {
		if !slices.Contains(files, filepath.Join(dir, name)) {
			fmt.Fprintf(out, "%-15s has no result\n", name)
			total.Failed++
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var c result
		if err := json.Unmarshal(text, &c); err != nil {
			return fmt.Errorf("%s: %v", file, err)
		}
		fmt.Fprintf(out, "%-15s %5.0f s  %v\n", filepath.Base(file), c.Seconds, c.Counts)
		total.Passed += c.Counts.Passed
		total.Failed += c.Counts.Failed
		total.Skipped += c.Counts.Skipped
	}
	fmt.Fprintln(out, total)
	if total.Failed > 0 || total.Passed == 0 {
		return fmt.Errorf("not all tests passed")
	}
	return nil
}

// result is the result of a suite, as run writes it.
type result struct {
	Counts  counts
	Seconds float64
}

// counts are of tests and subtests, not of packages.
type counts struct{ Passed, Failed, Skipped int }

func (c counts) String() string {
	s := fmt.Sprintf("%d passed, %d failed", c.Passed, c.Failed)
	if c.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", c.Skipped)
	}
	return s
}

// event is a line of go test -json: see go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

type test struct{ pkg, name string }

// suite is one run of go test.
type suite struct {
	ci     bool
	out    io.Writer
	counts counts
	output map[test][]string // of tests that have not ended
	inPkg  int               // tests failed in the package that is being read
}

func (s *suite) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			fmt.Fprintf(s.out, "%s", line)
			continue
		}
		s.event(e)
	}
}

func (s *suite) event(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "pass", "fail", "skip":
		failed := e.Action == "fail" || e.Action == "skip" && e.Test != "" && s.ci
		if failed {
			fmt.Fprint(s.out, strings.Join(s.output[key], ""))
		}
		if e.Test == "" {
			s.pkg(e, failed)
		} else {
			s.test(e, failed)
		}
		delete(s.output, key)
	}
}

func (s *suite) test(e event, failed bool) {
	switch {
	case failed:
		s.counts.Failed++
		s.inPkg++
		if e.Action == "skip" {
			fmt.Fprintf(s.out, "%s was skipped: under CI that is a failure\n", e.Test)
		}
	case e.Action == "skip":
		s.counts.Skipped++
	default:
		s.counts.Passed++
	}
}

// pkg ends a package. A package that fails without a failed test counts as one failure: it does not
// build, crashes, or leaks.
func (s *suite) pkg(e event, failed bool) {
	if failed && s.inPkg == 0 {
		s.counts.Failed++
	}
	s.inPkg = 0
	if e.Action != "skip" { // "skip" of a package: no test files
		fmt.Fprintf(s.out, "%s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
}
