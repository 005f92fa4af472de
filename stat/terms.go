package stat

import (
	"fmt"
	"strconv"

	"erluv/label"
	"erluv/wire/etf"
)

// Terms returns a map with atoms as keys.
func Terms(items []Item) etf.Map {
	m := make(etf.Map, 0, len(items))
	for _, i := range items {
		m = append(m, etf.Pair{Key: etf.Atom(i.Key), Value: term(i.Value)})
	}
	return m
}

// Pid returns a process as a term.
func (p Process) Pid() etf.Pid {
	return etf.Pid{Node: etf.Atom(p.Node), ID: p.ID, Serial: p.Serial, Creation: p.Creation}
}

func term(v any) etf.Term {
	switch v := v.(type) {
	case nil:
		return etf.Atom("undefined")
	case Word:
		return etf.Atom(v)
	case string:
		return etf.Binary(v)
	case int64:
		return v
	case float64:
		return v
	case label.Labels:
		return LabelTerms(v)
	case bool:
		return etf.Atom(strconv.FormatBool(v))
	case Process:
		return v.Pid()
	case Signalled:
		return v.term()
	case Tuple:
		return etf.Tuple{etf.Atom(v.Word), v.N}
	case []Item:
		return Terms(v)
	case []string:
		list := make(etf.List, 0, len(v))
		for _, s := range v {
			list = append(list, etf.Binary(s))
		}
		return list
	case []any:
		list := make(etf.List, 0, len(v))
		for _, e := range v {
			list = append(list, term(e))
		}
		return list
	case Numbered:
		m := make(etf.Map, 0, len(v))
		for _, n := range v {
			m = append(m, etf.Pair{Key: n.No, Value: Terms(n.Items)})
		}
		return m
	}
	panic(fmt.Sprintf("stat: a value of type %T", v)) // a defect of Items
}
