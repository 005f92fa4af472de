package e2e

import (
	"fmt"
	"regexp"
	"strings"
)

// dotToken is a token of the DOT language, as far as erluv writes it: a string, a word, a number,
// or a sign (https://graphviz.org/doc/info/lang.html).
var dotToken = regexp.MustCompile(`^\s*("(?:[^"\\\n]|\\[^\n])*"|[A-Za-z_][A-Za-z_0-9]*|[0-9]+|--|[{}\[\]=,;])`)

// dotReader reads an undirected graph strictly: unknown syntax is an error.
type dotReader struct {
	tokens []string
	nodes  []string
	edges  []string // a-b, with [style=dashed] and the like behind
}

func readDOT(text string) (nodes, edges []string, err error) {
	var r dotReader
	for strings.TrimSpace(text) != "" {
		m := dotToken.FindStringSubmatch(text)
		if m == nil {
			return nil, nil, fmt.Errorf("no token begins at %.40q", text)
		}
		r.tokens, text = append(r.tokens, m[1]), text[len(m[0]):]
	}
	if !r.take("graph") || !isID(r.next()) || !r.take("{") {
		return nil, nil, fmt.Errorf("no graph begins")
	}
	for !r.take("}") {
		if err := r.statement(); err != nil {
			return nil, nil, err
		}
	}
	if len(r.tokens) > 0 {
		return nil, nil, fmt.Errorf("%q stands behind the graph", r.tokens)
	}
	return r.nodes, r.edges, nil
}

func (r *dotReader) next() string {
	if len(r.tokens) == 0 {
		return ""
	}
	token := r.tokens[0]
	r.tokens = r.tokens[1:]
	return token
}

func (r *dotReader) take(token string) bool {
	if len(r.tokens) == 0 || r.tokens[0] != token {
		return false
	}
	r.tokens = r.tokens[1:]
	return true
}

func isID(token string) bool { return token != "" && !strings.Contains("--{}[]=,;", token) }

// statement reads ID = ID, a node or an edge.
func (r *dotReader) statement() error {
	id := r.next()
	if !isID(id) {
		return fmt.Errorf("%q begins no statement", id)
	}
	if r.take("=") {
		if v := r.next(); !isID(v) || !r.take(";") {
			return fmt.Errorf("%s = %s is no attribute", id, v)
		}
		return nil
	}
	other := ""
	if r.take("--") {
		if other = r.next(); !isID(other) {
			return fmt.Errorf("an edge of %s leads to %q", id, other)
		}
	}
	attributes := ""
	if r.take("[") {
		for {
			name, equals, v := r.next(), r.take("="), r.next()
			if !isID(name) || !equals || !isID(v) {
				return fmt.Errorf("%s has the attribute %q = %q", id, name, v)
			}
			attributes += "[" + name + "=" + v + "]"
			if r.take("]") {
				break
			}
			if !r.take(",") {
				return fmt.Errorf("behind an attribute of %s stands %q", id, r.next())
			}
		}
	}
	if !r.take(";") {
		return fmt.Errorf("the statement of %s goes on with %q", id, r.next())
	}
	switch {
	case other != "":
		r.edges = append(r.edges, strings.Trim(id, `"`)+"-"+strings.Trim(other, `"`)+attributes)
	case id != "node":
		r.nodes = append(r.nodes, strings.Trim(id, `"`))
	}
	return nil
}
