package web

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"erluv/overview"
)

// TestPrometheusDocument checks the configuration and the alerts of doc/operating.md with promtool.
// Each metric of an alert exists.
func TestPrometheusDocument(t *testing.T) {
	text, err := os.ReadFile("../doc/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var cfg strings.Builder
	_, rest, _ := strings.Cut(string(text), "\n    scrape_configs:\n")
	cfg.WriteString("scrape_configs:\n")
	for line := range strings.Lines(rest) {
		indented, ok := strings.CutPrefix(line, "    ")
		if !ok {
			break
		}
		cfg.WriteString(indented)
	}
	if !strings.Contains(cfg.String(), `targets: ["127.0.0.1:4380"]`) {
		t.Errorf("the document configures\n%s", cfg.String())
	}
	promtool(t, "config", cfg.String())

	exposed := metricsOf(&overview.Overview{Looked: true}, "e@h", true, false)
	_, table, _ := strings.Cut(string(text), "\n| alert | means |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := regexp.MustCompile("(?m)^\\| `(.+)` \\| ").FindAllStringSubmatch(table, -1)
	if len(rows) < 6 || len(rows) != strings.Count(table, "\n")+1 {
		t.Errorf("there are %d alerts in\n%s", len(rows), table)
	}
	rules := "groups:\n  - name: erluv\n    rules:\n"
	for i, row := range rows {
		expr := strings.ReplaceAll(row[1], `\|`, "|")
		quoted, err := json.Marshal(expr) // YAML has such strings too
		if err != nil {
			t.Fatal(err)
		}
		rules += fmt.Sprintf("      - alert: a%d\n        expr: %s\n", i, quoted)
		for _, name := range regexp.MustCompile(`erluv_\w+`).FindAllString(expr, -1) {
			if !strings.Contains(exposed, "# TYPE "+name+" ") {
				t.Errorf("%s: there is no metric %s", expr, name)
			}
		}
	}
	promtool(t, "rules", rules)
}

// promtool checks a file.
func promtool(t *testing.T, what, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), what+".yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", what, file).CombinedOutput(); err != nil {
		t.Errorf("promtool check %s: %v\n%s\n%s", what, err, out, text)
	}
}
