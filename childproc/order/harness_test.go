package order

import (
	"errors"
	"time"

	"erluv/wire/etf"
)

// here is the Outside of the tests' requests.
var here = Outside{
	Caller: etf.Pid{Node: "a@host", ID: 1},
	Reachable: func(pid etf.Pid) error {
		if pid.Node != "a@host" {
			return errors.New("is elsewhere")
		}
		return nil
	},
	Environ:     map[string]string{"LANG": "C", "HOME": "/root"},
	KillTimeout: 5 * time.Second,
}

func atom(s string) etf.Term { return etf.Atom(s) }

func bin(s string) etf.Term { return etf.Binary(s) }

func tuple(t ...etf.Term) etf.Tuple { return etf.Tuple(t) }

func list(t ...etf.Term) etf.List { return etf.List(t) }

// pairs makes a map with atoms as keys.
func pairs(kv ...any) etf.Map {
	var m etf.Map
	for i := 0; i < len(kv); i += 2 {
		m = append(m, etf.Pair{Key: etf.Atom(kv[i].(string)), Value: kv[i+1]})
	}
	return m
}

// numbered makes a map with numbers as keys.
func numbered(kv ...any) etf.Map {
	var m etf.Map
	for i := 0; i < len(kv); i += 2 {
		m = append(m, etf.Pair{Key: int64(kv[i].(int)), Value: kv[i+1]})
	}
	return m
}

// read reads a request for a program, a watch or a file.
func read(request Request, opts etf.Term) (any, *BadOption) {
	switch request {
	case ForSpawn:
		return Spawn(here, list(bin("true")), opts)
	case ForRun:
		return Run(here, list(bin("true")), opts)
	case ForPut:
		return PutOf(here, bin("/tmp/x"), opts)
	}
	return WatchOf(here, bin("/tmp"), opts)
}

// everyRequest are the requests that have options.
var everyRequest = []Request{ForSpawn, ForRun, ForWatch, ForPut}

// requests returns the requests that have a row's option.
func requests(row *Option) (list []Request) {
	for _, r := range everyRequest {
		if row.For&r != 0 {
			list = append(list, r)
		}
	}
	return list
}
