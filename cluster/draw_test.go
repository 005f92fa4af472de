package cluster

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// picture is a map with one of everything that can be drawn.
func picture() *Map {
	m := &Map{
		Entry: "a@h", Took: 61 * time.Millisecond, LeftOut: 1, Incomplete: "there was no time for all nodes",
		Nodes: []Node{
			{Name: "a@h", State: Up, Facts: Facts{"25", 4*24*time.Hour + 3*time.Hour, 412}},
			{Name: "b@h", State: Up, Facts: Facts{"27", 59 * time.Second, 1}},
			{Name: "c@h", State: Up, Facts: Facts{"25", time.Hour, 412}},
			{Name: "d@h", State: Silent},
			{Name: "e@h", State: Gone},
			{Name: "f@h", State: Failed, Why: "its answer is not understood"},
			{Name: "g@h", State: NotAsked, Why: "there was no time"},
			{Name: "h@h", State: Foreign, Hidden: true},
			{Name: "i\"\\\x1b[31m@h", State: Up, Hidden: true, Facts: Facts{"29", 90 * time.Minute, 50}},
		},
	}
	for _, e := range []string{"a-b", "a-c", "a-g", "a~h", "b-c?", "b-d", "b-e", "b-f!", "c-d", "c~i"} {
		b := map[byte]string{'b': "b@h", 'c': "c@h", 'd': "d@h", 'e': "e@h", 'f': "f@h", 'g': "g@h", 'h': "h@h", 'i': "i\"\\\x1b[31m@h"}[e[2]]
		m.Edges = append(m.Edges, Edge{
			A: e[:1] + "@h", B: b, Hidden: e[1] == '~', Mute: strings.HasSuffix(e, "?"), OneSided: strings.HasSuffix(e, "!"),
		})
	}
	return m
}

// TestDrawn compares with the files of testdata.
func TestDrawn(t *testing.T) {
	for file, got := range map[string]string{
		"map.txt": picture().Text(), "map.dot": picture().DOT(), "map.json": picture().JSON(),
		"strays.txt": picture().WithoutStrays().Text(),
		"one.txt":    (&Map{Entry: "a@h", Nodes: []Node{{Name: "a@h", State: Up, Facts: Facts{"25", 0, 40}}}}).Text(),
		"mesh.txt":   mesh(12).Text(),
	} {
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v, got\n%s", file, err, got)
		}
		if strings.ContainsRune(got, 0x1b) {
			t.Errorf("%s has an escape", file)
		}
	}
	var any map[string]any
	if err := json.Unmarshal([]byte(picture().JSON()), &any); err != nil {
		t.Error(err)
	}
}

// mesh is a full mesh.
func mesh(n int) *Map {
	m := &Map{Entry: "node0@host.example.com"}
	for i := range n {
		name := "node" + string(rune('0'+i)) + "@host.example.com"
		m.Nodes = append(m.Nodes, Node{Name: name, State: Up, Facts: Facts{"27", time.Minute, 50}})
		for j := range i {
			m.Edges = append(m.Edges, Edge{A: m.Nodes[j].Name, B: name})
		}
	}
	return m
}

func TestMeshes(t *testing.T) {
	for edges, want := range map[string]struct{ meshes, rest string }{
		"":                                {"", ""},
		"a-b b-c":                         {"", "a-b b-c"},
		"a-b a-c b-c":                     {"abc", ""},
		"a-b a-c b-c c-d d-e d-f e-f":     {"abc def", "c-d"},
		"a-b a-c b-c c-d c-e d-e":         {"abc cde", ""},     // one node in both
		"a-b a-c a-d b-c b-d c-d c-e d-e": {"abcd", "c-e d-e"}, // each connection once
		"a-b a-c a-d a-e":                 {"", "a-b a-c a-d a-e"},
		"a-c a-d b-c b-d":                 {"", "a-c a-d b-c b-d"},
	} {
		var list []Edge
		for e := range strings.FieldsSeq(edges) {
			list = append(list, Edge{A: e[:1], B: e[2:]})
		}
		found, rest := meshes(list)
		var got, left []string
		for _, m := range found {
			got = append(got, strings.Join(m, ""))
		}
		for _, e := range rest {
			left = append(left, e.A+"-"+e.B)
		}
		if strings.Join(got, " ") != want.meshes || strings.Join(left, " ") != want.rest {
			t.Errorf("%s: %q and %q, want %q", edges, got, left, want)
		}
	}
	begin := time.Now()
	if found, rest := meshes(mesh(400).Edges); len(found) != 1 || len(rest) != 0 {
		t.Errorf("%d meshes and %d connections of a mesh", len(found), len(rest))
	}
	t.Logf("400 nodes: %v", time.Since(begin))
}

func TestWithoutStrays(t *testing.T) {
	m := &Map{Entry: "a", LeftOut: 2, Nodes: []Node{
		{Name: "a", State: Up, Hidden: true},          // the entry
		{Name: "bridge", State: Up, Hidden: true},     // two connections
		{Name: "erluv", State: Foreign, Hidden: true}, // two, with nothing behind it
		{Name: "far", State: Up},
		{Name: "shell", State: Up, Hidden: true},
		{Name: "silent", State: Silent, Hidden: true},
	}}
	m.Edges = []Edge{
		{A: "a", B: "bridge", Hidden: true},
		{A: "a", B: "erluv", Hidden: true},
		{A: "a", B: "shell", Hidden: true},
		{A: "a", B: "silent", Hidden: true},
		{A: "bridge", B: "far", Hidden: true},
		{A: "erluv", B: "far", Hidden: true},
	}
	kept := m.WithoutStrays()
	var names []string
	for _, n := range kept.Nodes {
		names = append(names, n.Name)
	}
	if want := []string{"a", "bridge", "far", "silent"}; !reflect.DeepEqual(names, want) || len(kept.Edges) != 3 || kept.LeftOut != 4 {
		t.Errorf("%v, %v, %d left out", names, kept.Edges, kept.LeftOut)
	}
	if len(m.Nodes) != 6 || len(m.Edges) != 6 {
		t.Error("the map itself is another one")
	}
}

func TestUptime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 61 * time.Second: "1 min 1 s", 3 * time.Hour: "3 h",
		50 * time.Hour: "2 d 2 h", 24*time.Hour + time.Minute: "1 d",
	} {
		if got := Uptime(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
