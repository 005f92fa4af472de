package peer

import "hash/maphash"

// searched is the longest list that is searched. A longer one has an index.
const searched = 16

// table is a small map: a list that gets an index when it grows. The zero table is empty and uses
// no memory. It can have a million entries, so the index has their hashes instead of copies of the
// keys.
type table[K comparable, V any] struct {
	list  []entry[K, V]
	index *index // nil for up to searched entries
}

// index maps hashes to entries of a table.
type index struct {
	at   map[uint64]int32
	twin bool // two keys had one hash, and only one is here
}

type entry[K comparable, V any] struct {
	value V // in front, because Go pads an empty value behind the key
	key   K
}

var hashSeed = maphash.MakeSeed()

func (t *table[K, V]) len() int { return len(t.list) }

func (t *table[K, V]) find(k K) int {
	if t.index != nil {
		i, ok := t.index.at[maphash.Comparable(hashSeed, k)]
		if ok && t.list[i].key == k {
			return int(i)
		}
		if !t.index.twin {
			return -1
		}
	}
	for i := range t.list {
		if t.list[i].key == k {
			return i
		}
	}
	return -1
}

func (t *table[K, V]) add(k K, v V) bool {
	if t.find(k) >= 0 {
		return false
	}
	t.list = append(t.list, entry[K, V]{v, k})
	if t.index != nil {
		t.enter(len(t.list) - 1)
	} else if len(t.list) > searched {
		t.index = &index{at: make(map[uint64]int32)}
		for i := range t.list {
			t.enter(i)
		}
	}
	return true
}

// enter puts an entry into the index.
func (t *table[K, V]) enter(i int) {
	h := maphash.Comparable(hashSeed, t.list[i].key)
	if _, taken := t.index.at[h]; taken {
		t.index.twin = true
		return
	}
	t.index.at[h] = int32(i)
}

func (t *table[K, V]) remove(k K) bool {
	i := t.find(k)
	if i < 0 {
		return false
	}
	last := len(t.list) - 1
	if t.index != nil {
		t.leave(i)
		if i < last {
			t.leave(last)
		}
	}
	t.list[i] = t.list[last]
	t.list[last] = entry[K, V]{}
	t.list = t.list[:last]
	if last == 0 {
		*t = table[K, V]{}
	} else if t.index != nil && i < last {
		t.enter(i)
	}
	return true
}

// leave takes an entry out of the index.
func (t *table[K, V]) leave(i int) {
	h := maphash.Comparable(hashSeed, t.list[i].key)
	if t.index.at[h] == int32(i) {
		delete(t.index.at, h)
	}
}
