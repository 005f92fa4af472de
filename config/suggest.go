package config

import (
	"fmt"
	"strings"
)

// suggestKey suggests the key that an unknown one may mean.
func suggestKey(name string) string {
	if key := nearest(name); key != nil {
		return fmt.Sprintf("is %s meant?", key.Name)
	}
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].Name
	}
	return "there are " + strings.Join(names, ", ")
}

// SuggestFlag returns the flag that an unknown name may be a misspelling of, or "".
func SuggestFlag(name string) string {
	if key := nearest(name); key != nil {
		return key.Flag()
	}
	return ""
}

// nearest returns the key that name may be a misspelling of, or nil.
func nearest(name string) *Key {
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	var best *Key
	least := 3 // one letter more, less, or two exchanged: at most two edits
	for i := range keys {
		if d := distance(name, keys[i].Name); d < least && d < len(keys[i].Name)/2 {
			best, least = &keys[i], d
		}
	}
	return best
}

// distance is the Levenshtein distance, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
