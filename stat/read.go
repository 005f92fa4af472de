package stat

import (
	"fmt"

	"erluv/label"
	"erluv/wire/etf"
)

// Read is the reverse of Terms, for a client on another node. It turns unknown terms, which a later
// version may send, into a Word with the term's text. It copies nothing.
func Read(m etf.Map) []Item {
	items := make([]Item, 0, len(m))
	for _, p := range m {
		value := read(p.Value)
		if labels, ok := readLabels(p.Value); ok && p.Key == etf.Atom("meta") {
			value = labels
		}
		items = append(items, Item{fmt.Sprint(p.Key), value})
	}
	return items
}

// readLabels is the reverse of LabelTerms.
func readLabels(t etf.Term) (labels label.Labels, ok bool) {
	list, ok := t.(etf.List)
	for _, e := range list {
		var entry label.Entry
		pair, isPair := e.(etf.Tuple)
		if !isPair || len(pair) != 2 {
			return nil, false
		}
		name, isText := etf.Text(pair[0])
		keys, isList := pair[1].(etf.List)
		ok = ok && isText && isList
		entry.Name = name
		for _, k := range keys {
			key := label.Key{}
			if kv, isTuple := k.(etf.Tuple); isTuple && len(kv) == 2 {
				key.HasValue = true
				key.Value, isText = etf.Text(kv[1])
				ok, k = ok && isText, kv[0]
			}
			key.Name, isText = etf.Text(k)
			ok = ok && isText
			entry.Keys = append(entry.Keys, key)
		}
		labels = append(labels, entry)
	}
	return labels, ok
}

func read(t etf.Term) any {
	switch t := t.(type) {
	case etf.Atom:
		switch t {
		case "undefined":
			return nil
		case "true", "false":
			return t == "true"
		}
		return Word(t)
	case etf.Binary:
		return string(t)
	case int64:
		return t
	case float64:
		return t
	case etf.Pid:
		return Process{Node: string(t.Node), ID: t.ID, Serial: t.Serial, Creation: t.Creation}
	case etf.Tuple:
		if s, ok := readSignalled(t); ok {
			return s
		}
		if len(t) == 2 {
			word, isWord := t[0].(etf.Atom)
			n, isInt := t[1].(int64)
			if isWord && isInt {
				return Tuple{Word(word), n}
			}
		}
	case etf.List:
		return readList(t)
	case etf.Map:
		return readMap(t)
	}
	return Word(fmt.Sprint(t))
}

// readList reads a list. An empty list may be of either kind, and both look the same.
func readList(l etf.List) any {
	texts := make([]string, 0, len(l))
	values := make([]any, 0, len(l))
	for _, e := range l {
		if b, ok := e.(etf.Binary); ok {
			texts = append(texts, string(b))
		}
		values = append(values, read(e))
	}
	if len(texts) == len(l) {
		return texts
	}
	return values
}

func readMap(m etf.Map) any {
	var n Numbered
	for _, p := range m {
		no, isInt := p.Key.(int64)
		inner, isMap := p.Value.(etf.Map)
		if !isInt || !isMap {
			return Read(m)
		}
		n = append(n, struct {
			No    int64
			Items []Item
		}{no, Read(inner)})
	}
	if n == nil {
		return []Item{}
	}
	return n
}

// Find returns the value of a key, or nil.
func Find(items []Item, key string) any {
	for _, i := range items {
		if i.Key == key {
			return i.Value
		}
	}
	return nil
}
