package main

import (
	"strings"
	"testing"
	"time"

	"erluv/stat"
)

// TestDated: people read dates, in lists and in parts too. A number under another name stays.
func TestDated(t *testing.T) {
	was := time.Local
	time.Local = time.FixedZone("", 2*60*60)
	defer func() { time.Local = was }()
	const at = int64(1795997334139)
	items := []stat.Item{
		{Key: "started", Value: at},
		{Key: "uptime", Value: at},
		{Key: "connections", Value: []any{[]stat.Item{{Key: "since", Value: at}}}},
		{Key: "lost", Value: []stat.Item{{Key: "until", Value: at}}},
	}
	text := stat.Text(dated(items))
	if n := strings.Count(text, "2026-11-30T02:08:54.139+02:00"); n != 3 || !strings.Contains(text, "1795997334139") {
		t.Errorf("%d dates in\n%s", n, text)
	}
	if items[0].Value != at {
		t.Error("the items have changed")
	}
}
