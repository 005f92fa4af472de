package ipc

import (
	"strings"
	"testing"
)

var observers = []Observer{
	{Kind: ObserverLink, ID: 1, Serial: 2, PeerID: 3, PeerSerial: 4, PeerCreation: 5},
	{Kind: ObserverMonitor, ID: 1, Serial: 2, PeerID: 3, PeerSerial: 4, PeerCreation: 5, Ref: "ref"},
	{Kind: ObserverName, PeerID: 3, PeerSerial: 4, PeerCreation: 5, Name: "erluv", Ref: "ref"},
	{Kind: ObserverPeer, ID: 1, Serial: 2, PeerID: 3, PeerSerial: 4, PeerCreation: 5, Ref: strings.Repeat("r", maxObserverRef)},
}

func TestObserver(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range observers {
		record := x.Record()
		if seen[record] {
			t.Errorf("%+v has the record of another", x)
		}
		seen[record] = true
		if got, err := ReadObserver(record); err != nil || got != x {
			t.Errorf("%+v became %+v, %v", x, got, err)
		}
		for n := range record {
			if got, err := ReadObserver(record[:n]); err == nil {
				t.Errorf("%d bytes of %+v became %+v", n, x, got)
			}
		}
		if _, err := ReadObserver(record + "\x00"); err == nil {
			t.Errorf("%+v is taken with a byte behind it", x)
		}
	}
}

func TestObserverRefuses(t *testing.T) {
	for name, x := range map[string]Observer{
		"kind 0":                 {Ref: "r"},
		"an unknown kind":        {Kind: ObserverPeer + 1, Ref: "r"},
		"no reference":           {Kind: ObserverMonitor},
		"a long reference":       {Kind: ObserverMonitor, Ref: strings.Repeat("r", maxObserverRef+1)},
		"no name":                {Kind: ObserverName, Ref: "r"},
		"a long name":            {Kind: ObserverName, Ref: "r", Name: strings.Repeat("n", maxObserverName+1)},
		"a name and an id":       {Kind: ObserverName, Ref: "r", Name: "n", ID: 1},
		"a name and a serial":    {Kind: ObserverName, Ref: "r", Name: "n", Serial: 1},
		"no reference to a name": {Kind: ObserverName, Name: "n"},
	} {
		if got, err := ReadObserver(x.Record()); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzReadObserver: an accepted record is encoded to the same bytes, so that main can count by
// records.
func FuzzReadObserver(f *testing.F) {
	for _, x := range observers {
		f.Add(x.Record())
	}
	f.Fuzz(func(t *testing.T, record string) {
		if x, err := ReadObserver(record); err == nil && x.Record() != record {
			t.Errorf("%q became %+v, which is %q", record, x, x.Record())
		}
	})
}
