package cluster

import (
	"fmt"
	"strconv"
	"strings"

	"erluv/wire/consult"
	"erluv/wire/etf"
)

// Args reads the arguments of a function from a text with a list of Erlang terms.
func Args(text string) (etf.List, error) {
	text = strings.TrimSpace(text)
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	terms, err := consult.Parse([]byte(text))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is no list of Erlang terms: %w", stated(text), err)
	case len(terms) != 1 || terms[0].Kind != consult.List:
		return nil, fmt.Errorf("%s is not one list: arguments stand in [ and ], as in [kernel, 1, \"text\"]", stated(text))
	}
	args := make(etf.List, len(terms[0].Items))
	for i, item := range terms[0].Items {
		if args[i], err = term(item); err != nil {
			return nil, err
		}
	}
	return args, nil
}

func stated(text string) string { return fmt.Sprintf("%.80q", strings.TrimSuffix(text, ".")) }

// term returns a term of a text as it is sent.
func term(t consult.Term) (etf.Term, error) {
	switch t.Kind {
	case consult.Atom:
		return etf.Atom(t.Text), nil
	case consult.Integer:
		return t.Int, nil
	case consult.Float:
		return strconv.ParseFloat(t.Text, 64)
	case consult.Binary:
		return etf.Binary(t.Text), nil
	case consult.String:
		var list etf.List
		for _, r := range t.Text {
			list = append(list, int64(r))
		}
		return list, nil
	}
	items := make(etf.List, len(t.Items))
	for i, item := range t.Items {
		var err error
		if items[i], err = term(item); err != nil {
			return nil, err
		}
	}
	if t.Kind == consult.Tuple {
		return etf.Tuple(items), nil
	}
	if len(items) == 0 {
		return etf.List(nil), nil
	}
	return items, nil
}
