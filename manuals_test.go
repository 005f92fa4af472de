package erluv_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// columns is the width of a terminal for which the manuals are written.
const columns = 80

// TestManualsFit: no line of a manual, an example's or a table's, is wider than a terminal.
func TestManualsFit(t *testing.T) {
	pages, err := filepath.Glob("man/*")
	if err != nil || len(pages) != 4 {
		t.Fatal(pages, err)
	}
	struck := regexp.MustCompile(`.\x08`) // bold and underlined characters
	for _, page := range pages {
		text, err := exec.Command("mandoc", "-T", "utf8", "-O", "width=80", page).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(struck.ReplaceAllString(string(text), "")) {
			if line = strings.TrimRight(line, "\n"); utf8.RuneCountInString(line) > columns {
				t.Errorf("%s has a line of %d characters: %s", page, utf8.RuneCountInString(line), line)
			}
		}
	}
}
