package etf

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strconv"
)

// text is the text form of a term, the same as from testdata/vectors.erl.
func text(t Term) string { return string(appendText(nil, t)) }

func appendText(b []byte, t Term) []byte {
	switch t := t.(type) {
	case int64:
		return strconv.AppendInt(b, t, 10)
	case *big.Int:
		return t.Append(b, 10)
	case float64:
		return strconv.AppendFloat(b, t, 'e', 20, 64)
	case Atom:
		return appendAtomText(b, t)
	case Binary:
		return fmt.Appendf(b, "<<16#%X>>", []byte(t))
	case BitString:
		return fmt.Appendf(b, "<<16#%X:%d>>", t.Bytes, 8*(len(t.Bytes)-1)+int(t.Bits))
	case String:
		b = append(b, '[')
		for i, c := range t {
			b = strconv.AppendInt(comma(b, i), int64(c), 10)
		}
		return append(b, ']')
	case List:
		return append(appendTexts(append(b, '['), t), ']')
	case Improper:
		b = appendTexts(append(b, '['), t.Elems)
		return append(appendText(append(b, '|'), t.Tail), ']')
	case Tuple:
		return append(appendTexts(append(b, '{'), t), '}')
	case Map:
		pairs := make([]string, len(t))
		for i, p := range t {
			pairs[i] = text(p.Key) + " => " + text(p.Value)
		}
		slices.Sort(pairs)
		b = append(b, "#{"...)
		for i, p := range pairs {
			b = append(comma(b, i), p...)
		}
		return append(b, '}')
	case Pid:
		b = appendAtomText(append(b, "pid("...), t.Node)
		return fmt.Appendf(b, ",%d,%d,%d)", t.ID, t.Serial, t.Creation)
	case Raw:
		return appendRawText(b, t)
	}
	panic(fmt.Sprintf("not a term: %T", t))
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func appendTexts(b []byte, ts []Term) []byte {
	for i, t := range ts {
		b = appendText(comma(b, i), t)
	}
	return b
}

func appendAtomText(b []byte, a Atom) []byte {
	b = append(b, '\'')
	for _, c := range []byte(a) {
		switch {
		case c == '\'' || c == '\\':
			b = append(b, '\\', c)
		case c < 32 || c == 127:
			b = fmt.Appendf(b, `\x%02X`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '\'')
}

// appendRawText parses a reference, a port or a fun, which the package itself never does.
func appendRawText(b []byte, raw Raw) []byte {
	skip := 1
	switch raw[0] {
	case tagNewFun:
		return appendFunText(b, raw)
	case tagExport:
		r := NewReader(raw[1:])
		module, _ := r.Atom()
		name, _ := r.Atom()
		arity, _ := r.Int()
		b = append(appendAtomText(append(b, "fun "...), module), ':')
		return fmt.Appendf(appendAtomText(b, name), "/%d", arity)
	case tagNewerRef, tagNewRef:
		skip = 3
		b = append(b, "ref("...)
	case tagReference:
		b = append(b, "ref("...)
	case tagPort, tagNewPort, tagV4Port:
		b = append(b, "port("...)
	default:
		panic(fmt.Sprintf("not kept raw: tag %d", raw[0]))
	}
	r := NewReader(raw[skip:])
	node, err := r.Atom()
	if err != nil {
		panic(err)
	}
	b = appendAtomText(b, node)
	rest, be := r.Rest(), binary.BigEndian
	var numbers []uint64
	switch raw[0] {
	case tagV4Port:
		numbers = []uint64{be.Uint64(rest), uint64(be.Uint32(rest[8:]))}
	case tagPort:
		numbers = []uint64{uint64(be.Uint32(rest)), uint64(rest[4])}
	case tagReference:
		numbers = []uint64{uint64(rest[4]), uint64(be.Uint32(rest))}
	case tagNewRef:
		numbers = append(numbers, uint64(rest[0]))
		rest = rest[1:]
		fallthrough
	default:
		for ; len(rest) > 0; rest = rest[4:] {
			numbers = append(numbers, uint64(be.Uint32(rest)))
		}
	}
	for _, n := range numbers {
		b = fmt.Appendf(b, ",%d", n)
	}
	return append(b, ')')
}

func appendFunText(b []byte, raw Raw) []byte {
	arity, uniq, index := raw[5], raw[6:22], int32(binary.BigEndian.Uint32(raw[22:])) // in the order of fun_info
	r := NewReader(raw[30:])
	module, _ := r.Atom()
	for range 3 { // old index, old unique value, pid
		if _, err := r.Raw(); err != nil {
			panic(err)
		}
	}
	var env List
	for r.Done() != nil {
		t, err := r.Term()
		if err != nil {
			panic(err)
		}
		env = append(env, t)
	}
	b = appendAtomText(append(b, "fun "...), module)
	return appendText(fmt.Appendf(b, "/%d %d %X ", arity, index, []byte(uniq)), env)
}
