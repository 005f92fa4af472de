package order

import (
	"slices"
	"testing"
	"time"

	"erluv/wire/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

func TestSteps(t *testing.T) {
	signal := func(v etf.Term) etf.Term { return etf.Tuple{etf.Atom("signal"), v} }
	for _, tc := range []struct {
		v    etf.Term
		want []workers.Step // nil: refused
	}{
		{
			etf.List{etf.Atom("close"), int64(2000), etf.Atom("sigterm"), int64(5000), etf.Atom("sigkill")},
			[]workers.Step{{Close: true}, {Wait: 2 * time.Second}, {Signal: unix.SIGTERM}, {Wait: 5 * time.Second}, {Signal: unix.SIGKILL}},
		},
		{etf.List{signal(int64(34)), signal(etf.Atom("sigint"))}, []workers.Step{{Signal: 34}, {Signal: unix.SIGINT}}},
		{etf.String{15, 0}, []workers.Step{{Wait: 15 * time.Millisecond}, {}}}, // a list of small numbers
		{etf.List{etf.Atom("sigkill")}, []workers.Step{{Signal: unix.SIGKILL}}},
		{etf.List(nil), nil},
		{etf.Atom("sigterm"), nil},
		{etf.Binary("x"), nil},
		{etf.List{etf.Atom("sigkill"), int64(5)}, nil},
		{etf.List{etf.Atom("term")}, nil},
		{etf.List{int64(-1)}, nil},
		{etf.List{1.5}, nil},
		{etf.List{int64(maxMillis), int64(maxMillis)}, nil},
		{etf.List{signal(int64(0))}, nil},
		{etf.List{signal(int64(65))}, nil},
		{etf.List{etf.Tuple{etf.Atom("wait"), int64(1)}}, nil},
		{make(etf.List, workers.MaxSteps+1), nil},
		{etf.Improper{Elems: []etf.Term{etf.Atom("close")}, Tail: etf.Atom("x")}, nil},
	} {
		var got []workers.Step
		err := toSteps(&got, tc.v)
		if (err == nil) != (tc.want != nil) || !slices.Equal(got, tc.want) {
			t.Errorf("%v: %+v, %v, want %+v", tc.v, got, err, tc.want)
		}
	}
}
