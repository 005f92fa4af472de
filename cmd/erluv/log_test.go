package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"erluv/config"
)

// Each level is written with its name in log_level, in both formats.
func TestLevelsAreWrittenByTheirNames(t *testing.T) {
	for level, name := range map[slog.Level]string{
		config.LevelTrace: "TRACE", slog.LevelDebug: "DEBUG", slog.LevelInfo: "INFO", slog.LevelWarn: "WARN", slog.LevelError: "ERROR",
	} {
		for format, want := range map[string]string{config.FormatText: "level=" + name + " ", config.FormatJSON: `"level":"` + name + `"`} {
			var b strings.Builder
			log := newLogger(&b, &config.Config{LogLevel: level, LogFormat: format})
			log.Log(context.Background(), level, "words")
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: %q, want %q in it", format, b.String(), want)
			}
			b.Reset()
			if log.Log(context.Background(), level-1, "words"); b.Len() > 0 {
				t.Errorf("%s: below the level it says %q", format, b.String())
			}
		}
	}
}
