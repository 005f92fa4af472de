package workers

import (
	"strings"
	"testing"
)

func TestParseNotice(t *testing.T) {
	for text, want := range map[string]Notice{
		"READY=1":                             {Ready: true},
		"READY=1\n":                           {Ready: true},
		"READY=0":                             {},
		"READY":                               {},
		"STATUS=at work\nREADY=1":             {Ready: true, Status: "at work", IsStatus: true},
		"STATUS=":                             {IsStatus: true},
		"STATUS=a=b":                          {Status: "a=b", IsStatus: true},
		"STATUS=\xff":                         {Status: "\ufffd", IsStatus: true},
		"WATCHDOG=1":                          {Alive: true},
		"WATCHDOG=trigger":                    {Trigger: true},
		"WATCHDOG=2":                          {},
		"MAINPID=1\nFDSTORE=1\nBARRIER=1":     {},
		"":                                    {},
		"\n\n=\n":                             {},
		" READY=1":                            {},
		"STATUS=" + strings.Repeat("x", 5000): {Status: strings.Repeat("x", maxStatus), IsStatus: true},
	} {
		got, ok := parseNotice(text)
		if got != want || ok != (want != Notice{}) {
			t.Errorf("%.40q: %+v, %v", text, got, ok)
		}
	}
}
