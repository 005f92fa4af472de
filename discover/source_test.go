package discover

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func source(t *testing.T, text string) Source {
	t.Helper()
	s, err := ParseSource(text, "shop@%h")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sorted(targets []Target) string {
	var lines []string
	for _, t := range targets {
		lines = append(lines, fmt.Sprint(t))
	}
	slices.Sort(lines)
	return strings.Join(lines, " ")
}

func TestParseSource(t *testing.T) {
	for _, good := range []string{"dns:control.example.com", "dns:c.", "srv:_erlang._tcp.example.com", "file:/etc/nodes", "file:/a:b"} {
		if s := source(t, good); s.String() != good {
			t.Errorf("%q is %q", good, s)
		}
	}
	for bad, want := range map[string]string{
		"":                                "none of",
		"control.example.com":             "none of",
		"DNS:a":                           "none of",
		"http://a":                        "none of",
		"dns:":                            "names no domain",
		"srv:a b":                         "names no domain",
		"dns:" + strings.Repeat("x", 254): "names no domain",
		"file:":                           "begins with a slash",
		"file:nodes":                      "begins with a slash",
	} {
		if s, err := ParseSource(bad, "shop@%h"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", bad, s, err, want)
		}
	}
	for _, text := range []string{"dns:a", "srv:a"} {
		if _, err := ParseSource(text, ""); err == nil || !strings.Contains(err.Error(), "no pattern") {
			t.Errorf("%q without a pattern: %v", text, err)
		}
	}
	if _, err := ParseSource("file:/nodes", ""); err != nil {
		t.Errorf("a file needs no pattern: %v", err)
	}
}

// TestAddresses: A and AAAA records become names with the address, over real sockets.
func TestAddresses(t *testing.T) {
	server := &nameServer{}
	server.set("control.example.com.", records{addresses: []string{"10.0.0.1", "10.0.0.2", "fd00::1"}})
	resolver := server.packets(t)
	firsts := map[string]bool{}
	for range 60 {
		got, err := source(t, "dns:control.example.com").find(t.Context(), resolver)
		if want := "{shop@10.0.0.1 10.0.0.1 0} {shop@10.0.0.2 10.0.0.2 0} {shop@fd00::1 fd00::1 0}"; err != nil || sorted(got.targets) != want {
			t.Fatalf("%v, %v", got.targets, err)
		}
		firsts[got.targets[0].Node] = true
	}
	if len(firsts) != 3 { // one is missing once in 10^10
		t.Errorf("of 60 times the first is always one of %v", firsts)
	}
}

// TestAddressesAsNames: no name server is asked for an address.
func TestAddressesAsNames(t *testing.T) {
	for name, want := range map[string]string{
		"127.0.0.1": "{shop@127.0.0.1 127.0.0.1 0}",
		"fd00::1":   "{shop@fd00::1 fd00::1 0}",
	} {
		got, err := source(t, "dns:"+name).find(t.Context(), &net.Resolver{PreferGo: true, Dial: refuse})
		if err != nil || sorted(got.targets) != want {
			t.Errorf("%s: %v, %v", name, got.targets, err)
		}
	}
}

// TestServices: SRV records become names with the host and have the port, the lowest priority
// first.
func TestServices(t *testing.T) {
	server := &nameServer{}
	server.set("_erlang._tcp.example.com.", records{services: []net.SRV{
		{Target: "c.example.com.", Port: 4003, Priority: 20, Weight: 1},
		{Target: "a.example.com.", Port: 4001, Priority: 10, Weight: 1},
		{Target: "b.example.com.", Port: 4002, Priority: 10, Weight: 9},
		{Target: "a.example.com.", Port: 4009, Priority: 30, Weight: 1}, // the same node again
		{Target: ".", Port: 0, Priority: 0, Weight: 1},
	}})
	resolver := server.packets(t)
	first := map[string]int{}
	for range 200 {
		got, err := source(t, "srv:_erlang._tcp.example.com").find(t.Context(), resolver)
		if err != nil || len(got.targets) != 3 || got.targets[2] != (Target{"shop@c.example.com", "c.example.com", 4003}) {
			t.Fatalf("%v, %v", got.targets, err)
		}
		want := "{shop@a.example.com a.example.com 4001} {shop@b.example.com b.example.com 4002}"
		if sorted(got.targets[:2]) != want {
			t.Fatalf("%v", got.targets)
		}
		first[got.targets[0].Node]++
	}
	// With weights 1 and 9 these are 20 and 180 of 200. Chance exceeds the bounds once in 10^9.
	if a := first["shop@a.example.com"]; a < 1 || a > 60 {
		t.Errorf("of 200 times %v were first", first)
	}
}

func TestSourceErrors(t *testing.T) {
	many := records{}
	for i := range 1001 {
		many.addresses = append(many.addresses, fmt.Sprintf("10.0.%d.%d", i/256, i%256))
	}
	for _, c := range []struct {
		source string
		zone   records
		want   string
	}{
		{"dns:n.example.", records{}, "no such name"},
		{"srv:n.example.", records{}, "no such name"},
		{"dns:n.example.", records{code: 3}, "no such name"},
		{"dns:n.example.", records{code: 2}, "server misbehaving"},
		{"dns:n.example.", records{refused: true}, "connection refused"},
		{"srv:n.example.", records{services: []net.SRV{{Target: "."}}}, "there is no such service"},
		{"srv:n.example.", records{services: []net.SRV{{Target: "a."}}}, "port 0 of a"},
		{"srv:n.example.", records{services: []net.SRV{{Target: "a b.", Port: 1}}}, "cannot find nodes by srv:n.example."},
		{"srv:n.example.", records{services: []net.SRV{{Target: strings.Repeat("x23456789.", 25) + "xyz.", Port: 1}}}, "longer than 255"},
		{"dns:n.example.", many, "there are 1001 nodes, more than 1000"},
	} {
		server := &nameServer{}
		server.set("n.example.", c.zone)
		_, err := source(t, c.source).find(t.Context(), server.pipes())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.source) {
			t.Errorf("%s: %v, want %q", c.source, err, c.want)
		}
		_, again := source(t, c.source).find(t.Context(), server.pipes())
		if fmt.Sprint(again) != fmt.Sprint(err) {
			t.Errorf("%v, and the next time %v", err, again)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes")
	var long strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&long, "n%d@h\n", i)
	}
	for _, c := range []struct{ content, want string }{
		{"", ""},
		{"# none\n\n", ""},
		{"a@h", "{a@h h 0}"},
		{"a@h\n# b@h\n\t b@h2 # c@h\r\n\na@h\n", "{a@h h 0} {b@h2 h2 0}"},
		{"a@h\n\n b\n", `line 3: "b" has no @host`},
		{"a@h b@h\n", `line 1: "a@h b@h" has no legal host`},
		{strings.Repeat("#", 1<<19) + "\n", "longer than 524288 bytes"},
		{strings.Repeat("#", 1<<19-1) + "\n", ""},
		{long.String(), "there are 1001 nodes, more than 1000"},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := source(t, "file:"+path).find(t.Context(), nil)
		if text := sorted(got.targets); err == nil && text != c.want || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.80q: %v, %v; want %q", c.content, text, err, c.want)
		}
	}
}

// TestFileIsNone: a path that is not a regular file does not block, and is an error.
func TestFileIsNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		fifo:                          "no regular file",
		dir:                           "no regular file",
		"/dev/zero":                   "no regular file",
		filepath.Join(dir, "missing"): "no such file",
	} {
		done := make(chan error, 1)
		go func() { // ends at once
			_, err := source(t, "file:"+path).find(t.Context(), nil)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), path) != 1 {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s blocks", path)
		}
	}
}

// FuzzFile checks that the names of any file are legal for a node, and not too many.
func FuzzFile(f *testing.F) {
	f.Add([]byte("a@h\n# b@h\n\t b@h2 # c@h\r\n\na@h\n"))
	f.Add([]byte("a@h b@h\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		targets, err := parseFile(content)
		if err != nil {
			return
		}
		if len(targets) > maxTargets {
			t.Fatalf("%d targets", len(targets))
		}
		for _, got := range targets {
			again, err := parseNode(got.Node)
			if err != nil || again != got || got.Node != strings.TrimSpace(got.Node) || len(got.Node) > 255 {
				t.Fatalf("%+v, %v", got, err)
			}
		}
	})
}
