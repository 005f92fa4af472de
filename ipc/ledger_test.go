package ipc

import (
	"strings"
	"testing"
)

var watches = []Watch{
	{Kind: WatchLink, ID: 1, Serial: 2, PeerID: 3, PeerSerial: 4, PeerCreation: 5},
	{Kind: WatchMonitor, ID: 1, Serial: 2, PeerID: 3, PeerSerial: 4, PeerCreation: 5, Ref: "ref"},
	{Kind: WatchName, PeerID: 3, PeerSerial: 4, PeerCreation: 5, Name: "erluv", Ref: "ref"},
	{Kind: WatchPeer, ID: 1, Serial: 2, PeerID: 3, PeerSerial: 4, PeerCreation: 5, Ref: strings.Repeat("r", maxWatchRef)},
}

func TestWatch(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range watches {
		record := x.Record()
		if seen[record] {
			t.Errorf("%+v has the record of another", x)
		}
		seen[record] = true
		if got, err := ReadWatch(record); err != nil || got != x {
			t.Errorf("%+v became %+v, %v", x, got, err)
		}
		for n := range record {
			if got, err := ReadWatch(record[:n]); err == nil {
				t.Errorf("%d bytes of %+v became %+v", n, x, got)
			}
		}
		if _, err := ReadWatch(record + "\x00"); err == nil {
			t.Errorf("%+v is taken with a byte behind it", x)
		}
	}
}

func TestWatchRefuses(t *testing.T) {
	for name, x := range map[string]Watch{
		"kind 0":                 {Ref: "r"},
		"an unknown kind":        {Kind: WatchPeer + 1, Ref: "r"},
		"no reference":           {Kind: WatchMonitor},
		"a long reference":       {Kind: WatchMonitor, Ref: strings.Repeat("r", maxWatchRef+1)},
		"no name":                {Kind: WatchName, Ref: "r"},
		"a long name":            {Kind: WatchName, Ref: "r", Name: strings.Repeat("n", maxWatchName+1)},
		"a name and an id":       {Kind: WatchName, Ref: "r", Name: "n", ID: 1},
		"a name and a serial":    {Kind: WatchName, Ref: "r", Name: "n", Serial: 1},
		"no reference to a name": {Kind: WatchName, Name: "n"},
	} {
		if got, err := ReadWatch(x.Record()); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzReadWatch: what is taken is given back byte for byte, so that main can
// count by records.
func FuzzReadWatch(f *testing.F) {
	for _, x := range watches {
		f.Add(x.Record())
	}
	f.Fuzz(func(t *testing.T, record string) {
		if x, err := ReadWatch(record); err == nil && x.Record() != record {
			t.Errorf("%q became %+v, which is %q", record, x, x.Record())
		}
	})
}
