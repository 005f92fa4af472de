// Command tally runs suites of Go tests and counts their results.
//
//	tally run FILE [PACKAGE=PERCENT] COMMAND...
//	                   run COMMAND, a go test -json; write its counts and time to FILE
//	tally sum DIR [SUITE...]
//	                   print time and counts of each file of DIR, and add them; the last line
//	                   has the sum. A SUITE without a file counts as failed
//
// With PACKAGE=PERCENT the tests of the package, run with -cover, must reach at least
// so many of its statements.
//
// It prints the output of failed tests in full, and one line for each package.
// Under CI=true a skipped test counts as failed: what cannot run there is a
// failure. Both commands exit with 1 when something failed.
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
		var least map[string]float64
		command := args[2:]
		if name, percent, ok := strings.Cut(command[0], "="); ok && len(command) > 1 {
			least = map[string]float64{}
			least[name], err = strconv.ParseFloat(percent, 64)
			command = command[1:]
		}
		if err == nil {
			err = run(args[1], command, least, ci)
		}
	case len(args) >= 2 && args[0] == "sum":
		err = sum(args[1], args[2:], os.Stdout)
	default:
		err = fmt.Errorf("usage: tally run FILE [PACKAGE=PERCENT] COMMAND... | tally sum DIR [SUITE...]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

// run runs one suite. The file is written even if tests fail, so that the sum
// knows of them.
func run(file string, command []string, least map[string]float64, ci bool) error {
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
	s := suite{ci: ci, least: least, out: os.Stdout, output: map[test][]string{}}
	if err := s.read(out); err != nil {
		return fmt.Errorf("cannot read the results of %q: %v", command[0], err)
	}
	// A command that fails without a failed test, or without any test, has failed.
	if err := cmd.Wait(); (err != nil || s.counts.Passed == 0) && s.counts.Failed == 0 {
		fmt.Printf("FAIL %s: %v, %d tests passed\n", strings.Join(command, " "), err, s.counts.Passed)
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

// sum adds up what run wrote. A suite that wrote nothing never began, or was ended.
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

// result is what run writes of a suite.
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
	least  map[string]float64 // percents of statements that tests must reach, by package
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
		if e.Test == "" && !failed && !s.reached(e.Package) {
			failed = true
		}
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

// reached says whether the tests of a package have reached as many of its statements as
// they must, by what go test -cover has printed.
func (s *suite) reached(pkg string) bool {
	least, asked := s.least[pkg]
	if !asked {
		return true
	}
	percent := 0.0
	for _, line := range s.output[test{pkg, ""}] {
		_, _ = fmt.Sscanf(line, "coverage: %f%% of statements", &percent)
	}
	if percent < least {
		fmt.Fprintf(s.out, "FAIL the tests of %s reach %.1f %% of its statements, and must reach %.1f %%\n", pkg, percent, least)
	}
	return percent >= least
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

// pkg ends a package. One that fails with no failed test (it does not build, it
// crashed, it leaks) counts as one.
func (s *suite) pkg(e event, failed bool) {
	if failed && s.inPkg == 0 {
		s.counts.Failed++
	}
	s.inPkg = 0
	if e.Action != "skip" { // "skip" of a package: no test files
		fmt.Fprintf(s.out, "%s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
}
