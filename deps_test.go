// Package erluv_test holds the policy of the whole module: allowed imports, and the contents of the
// binary.
package erluv_test

import (
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imports is the table of doc/architecture.md: each package, and the packages of this module that
// it may import. All others are forbidden.
var imports = map[string][]string{
	"eintr":          nil,
	"slack":          nil,
	"control":        {"eintr"},
	"config":         {"control", "discover", "eintr", "label", "wire/consult"},
	"discover":       nil,
	"label":          nil,
	"wire/consult":   nil,
	"wire/epmd":      nil,
	"wire/etf":       nil,
	"ipc":            {"eintr"},
	"ipc/counters":   {"eintr"},
	"ipc/journal":    {"eintr"},
	"loop":           {"eintr"},
	"journald":       {"eintr"},
	"sandbox":        {"eintr"},
	"sandbox/cgroup": {"eintr"},

	"wire/dist":   {"wire/etf"},
	"wire/gen":    {"wire/dist", "wire/etf"},
	"wire/client": {"wire/dist", "wire/etf", "wire/gen"},
	"stat":        {"label", "wire/etf"},
	"web":         {"overview", "stat", "wire/client", "wire/dist", "wire/etf", "wire/gen"},
	"overview":    {"stat", "wire/etf", "wire/gen"},
	"cluster":     {"stat", "wire/consult", "wire/etf"},
	"spawner":     {"eintr", "ipc", "sandbox", "sandbox/cgroup", "slack"},
	"loop/watch":  {"eintr", "loop"},
	"relay":       {"ipc", "ipc/counters"},
	"workers":     {"eintr", "ipc", "loop"},
	"childproc":   {"childproc/history", "childproc/machine", "childproc/order", "childproc/output", "childproc/peer", "childproc/ring", "childproc/upload", "wire/dist", "eintr", "wire/etf", "wire/gen", "ipc", "ipc/journal", "label", "loop", "loop/watch", "slack", "stat", "workers"},
	"cmd/erluv":   {"config", "control", "eintr", "ipc", "journald", "mainproc", "mainproc/crew", "childproc", "relay", "sandbox", "spawner", "stat", "overview", "web", "cluster", "wire/client", "wire/dist", "wire/epmd", "wire/etf", "wire/gen"},

	"childproc/machine": {"eintr", "stat"},
	"childproc/history": {"childproc/ring", "eintr", "ipc", "workers"},
	"childproc/ring":    nil,
	"childproc/order":   {"childproc/ring", "ipc", "wire/etf", "wire/gen", "workers"},
	"childproc/output":  {"childproc/order", "childproc/peer", "loop", "stat", "wire/dist", "wire/etf", "wire/gen", "workers"},
	"childproc/upload":  {"eintr", "workers"},
	"childproc/peer":    {"ipc", "ipc/journal", "loop", "wire/dist", "wire/etf", "wire/gen"},

	"mainproc":        {"config", "control", "discover", "wire/dist", "eintr", "wire/epmd", "wire/etf", "ipc", "label", "mainproc/crew", "mainproc/link", "mainproc/permit", "sandbox", "wire/client"},
	"mainproc/crew":   {"eintr", "wire/etf", "wire/gen", "ipc", "mainproc/permit", "sandbox", "sandbox/cgroup"},
	"mainproc/link":   {"config", "control", "discover", "wire/dist", "eintr", "wire/epmd", "wire/etf", "wire/gen", "ipc", "ipc/counters", "ipc/journal", "mainproc/permit", "slack", "wire/client"},
	"mainproc/permit": {"ipc"},

	"discover/dnstest":   nil,
	"loop/looptest":      {"loop"},
	"wire/dist/disttest": {"wire/dist", "wire/etf"},
	"test":               {"control", "discover/dnstest", "ipc", "ipc/counters", "relay/certtest", "sandbox", "wire/dist", "wire/dist/disttest", "wire/epmd", "wire/etf", "wire/client", "test/lan"},
	"relay/certtest":     nil,
	"test/demo/fleet":    {"test/lan"},
	"test/lan":           nil,
	"test/prose":         nil,
	"test/scarce":        nil,
	"test/tally":         nil,
	"test/tutorial":      nil,
	"packaging":          nil,
	"test/bench":         nil,
	"test/bench/measure": nil,
}

// testImports has further imports that the tests of a package may have.
var testImports = map[string][]string{
	"cmd/erluv":      {"test/prose"},
	"discover":       {"discover/dnstest"},
	"childproc/peer": {"loop/looptest"},
	"childproc":      {"loop/looptest", "spawner"}, // its tests run a real one
	"workers":        {"loop/looptest", "spawner"},
	"wire/dist":      {"test/bench/measure", "wire/dist/disttest"},
	"wire/etf":       {"test/bench/measure"},
	"wire/client":    {"wire/dist/disttest"},
	"ipc":            {"test/bench/measure"},
	"ipc/journal":    {"test/bench/measure"},
	"relay":          {"relay/certtest"},
	"mainproc":       {"wire/dist/disttest", "wire/gen", "ipc/journal", "test/scarce"},
	"mainproc/crew":  {"config", "discover", "wire/dist/disttest", "mainproc/link", "test/scarce"},
	"mainproc/link":  {"childproc", "wire/dist/disttest", "spawner", "slack"}, // real ones, to be killed
}

// banned packages are never in the binary, not even through others.
var banned = []string{
	"plugin",                        // the binary is static
	"testing",                       // test helpers stay in tests
	"runtime/cgo",                   // static
	"github.com/ergo-services/ergo", // an oracle for tests only
	"erluv/discover/dnstest",
	"erluv/wire/dist/disttest",
	"erluv/relay/certtest",
	"erluv/loop/looptest",
}

// ofOneRole has packages that only one role may link, directly or through others. Code that reads
// certificates and TLS records does not belong into a process with more than one connection.
// Package cmd/erluv has all roles.
var ofOneRole = map[string][]string{
	"crypto/tls":  {"relay", "web", "cmd/erluv"}, // web: net/http brings it, and uses none of it
	"crypto/x509": {"relay", "relay/certtest", "web", "cmd/erluv"},
	"net/http":    {"web", "cmd/erluv"},
}

type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Deps                               []string
	GoFiles, CgoFiles, CFiles, SFiles  []string
	IgnoredGoFiles                     []string // for other architectures
	Standard                           bool
}

func TestImportsGoOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, "erluv/")
		if name == "erluv" {
			continue // this test
		}
		seen[name] = true
		row, ok := imports[name]
		if !ok {
			t.Errorf("package %s has no row in the table of imports", name)
		}
		checkRow(t, name, "imports", p.Imports, row)
		allowed := slices.Concat(row, testImports[name], []string{name})
		checkRow(t, name, "has a test that imports", p.TestImports, allowed)
		checkRow(t, name, "has a test that imports", p.XTestImports, allowed)
	}
	for name := range imports {
		if !seen[name] {
			t.Errorf("the table of imports has a row for %s, and there is no such package", name)
		}
	}
	for name := range testImports {
		if _, ok := imports[name]; !ok {
			t.Errorf("the table of test imports has a row for %s, and there is no such package", name)
		}
	}
}

func checkRow(t *testing.T, name, verb string, got, allowed []string) {
	t.Helper()
	for _, path := range got {
		if ours, ok := strings.CutPrefix(path, "erluv/"); ok && !slices.Contains(allowed, ours) {
			t.Errorf("%s %s %s, which its row does not allow", name, verb, ours)
		}
	}
}

// The rooms keep privileges apart: some packages cannot be named in some rooms, directly or
// indirectly.
func TestRoomsThatNeverMeet(t *testing.T) {
	for room, never := range map[string][]string{
		"mainproc/...":     {"childproc", "spawner", "workers", "loop"},
		"childproc":        {"config", "wire/epmd", "sandbox", "mainproc", "spawner"},
		"childproc/order":  {"childproc", "loop/watch", "os", "net", "syscall"}, // it is pure
		"childproc/peer":   {"childproc", "childproc/order", "workers", "spawner", "net"},
		"childproc/output": {"spawner", "loop/watch"},
		"spawner":          {"config", "wire/dist", "wire/etf", "wire/epmd", "mainproc", "childproc"},
		"workers":          {"wire/etf", "wire/dist"},
		"stat":             {"wire/dist", "ipc", "workers", "childproc"},
		"wire/etf":         {"net", "os", "syscall"},
		"wire/consult":     {"net", "os", "syscall"},
		"ipc":              {"net"},
		"ipc/counters":     {"net"},
		"ipc/journal":      {"net"},
	} {
		t.Run(room, func(t *testing.T) {
			for _, p := range list(t, "./"+room) {
				for _, path := range never {
					if slices.Contains(p.Deps, "erluv/"+path) || slices.Contains(p.Imports, path) {
						t.Errorf("%s depends on %s", room, path)
					}
				}
			}
		})
	}
}

func TestRolesLink(t *testing.T) {
	linked := map[string]bool{}
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, "erluv/")
		for path, rooms := range ofOneRole {
			if !slices.Contains(p.Deps, path) {
				continue
			}
			linked[path] = true
			if !slices.Contains(rooms, name) {
				t.Errorf("%s links %s, which is for %v alone", name, path, rooms)
			}
		}
	}
	for path := range ofOneRole {
		if !linked[path] {
			t.Errorf("nobody links %s: its row is needless", path)
		}
	}
}

func TestBinaryIsMadeOf(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/erluv") {
		for _, path := range banned {
			if p.ImportPath == path || strings.HasPrefix(p.ImportPath, path+"/") {
				t.Errorf("the binary contains %s", p.ImportPath)
			}
		}
		if len(p.CgoFiles)+len(p.CFiles) > 0 {
			t.Errorf("%s of the binary needs a C compiler", p.ImportPath)
		}
	}
}

func TestBinaryIsStatic(t *testing.T) {
	binary := os.Getenv("ERLUV_BIN")
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "erluv")
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/erluv")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot build erluv: %v\n%s", err, out)
		}
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("%s has a segment %v: it is not static", binary, segment.Type)
		}
	}
}

// list runs go list with the settings of the release build.
func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
