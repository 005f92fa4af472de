package etf

// A Reader walks an encoded term from left to right and builds nothing. Each method reads a term of
// its kind, or fails. On failure the Reader has not moved, so the caller can try another method.
//
// A Reader is a value. It and its methods allocate no memory, except for atoms not seen lately, and
// in Term. Its results alias the input.
type Reader struct {
	buf  []byte
	pos  int
	owed int // terms that the containers so far still lack; 0 between calls
	room int // how many elements term may still build
}

// NewReader returns a Reader of b, which has no version byte.
func NewReader(b []byte) Reader { return Reader{buf: b} }

// Rest returns the unread bytes.
func (r *Reader) Rest() []byte { return r.buf[r.pos:] }

// Done fails if some bytes are unread.
func (r *Reader) Done() error {
	if r.pos != len(r.buf) {
		return errTrailing
	}
	return nil
}

// Tuple reads the head of a tuple. The caller reads its elements next.
func (r *Reader) Tuple() (arity int, err error) {
	return r.container(kindTuple, errNotTuple)
}

// List reads the head of a list. If n is not 0, the caller reads n elements and the tail next. For
// a proper list the caller reads the tail with Nil. The empty list is read whole. A list that was
// sent in the form of a String is an error.
func (r *Reader) List() (n int, err error) {
	if n, err = r.container(kindList, errNotList); err == nil {
		return n - 1, nil
	}
	if r.Nil() == nil {
		return 0, nil
	}
	return 0, err
}

// Nil reads the empty list: the tail of a proper one.
func (r *Reader) Nil() error {
	var h head
	return r.leaf(&h, kindNil, errNotNil)
}

// Map reads the head of a map. The caller reads n keys and n values next, each key before its
// value. Map does not check that no key comes twice: the caller must. Raw and Term do.
func (r *Reader) Map() (n int, err error) {
	n, err = r.container(kindMap, errNotMap)
	return n / 2, err
}

// Atom reads an atom.
func (r *Reader) Atom() (Atom, error) {
	var h head
	if err := r.leaf(&h, kindAtom, errNotAtom); err != nil {
		return "", err
	}
	return h.atom(), nil
}

// Int reads an integer of any form that fits.
func (r *Reader) Int() (int64, error) {
	var h head
	err := r.leaf(&h, kindInt, errNotInt)
	if err == errNotInt && h.kind == kindBig {
		err = errRange
	}
	if err != nil {
		return 0, err
	}
	return h.num, nil
}

// Uint64 reads an integer of any form, with up to 64 bits and no sign.
func (r *Reader) Uint64() (uint64, error) {
	var h head
	if err := h.parse(r.Rest()); err != nil {
		return 0, err
	}
	var u uint64
	switch {
	case h.kind == kindInt && h.num >= 0:
		u = uint64(h.num)
	case h.kind == kindBig && h.num == 0 && len(h.data) <= 8:
		u = littleUint64(h.data)
	case h.kind == kindInt, h.kind == kindBig:
		return 0, errRange
	default:
		return 0, errNotInt
	}
	r.pos += h.size
	return u, nil
}

// Pid reads a pid.
func (r *Reader) Pid() (Pid, error) {
	var h head
	b := r.Rest()
	if err := r.leaf(&h, kindPid, errNotPid); err != nil {
		return Pid{}, err
	}
	return pidAt(b), nil
}

// Binary reads a binary, which aliases the input.
func (r *Reader) Binary() ([]byte, error) {
	var h head
	if err := r.leaf(&h, kindBinary, errNotBinary); err != nil {
		return nil, err
	}
	return h.data, nil
}

// Raw reads one term of any kind and returns its bytes, which alias the input. Decode would accept
// this term, except that it may be nested more deeply. Raw allocates memory only for maps with more
// than 32 keys: 8 bytes for each key.
func (r *Reader) Raw() (Raw, error) {
	start := r.pos
	r.owed = 1
	err := r.skip(0)
	r.owed = 0
	if err != nil {
		r.pos = start
		return nil, err
	}
	return Raw(r.buf[start:r.pos:r.pos]), nil
}

// Term reads one term of any kind and builds it, as Decode does. It builds nothing before it has
// checked the whole term.
func (r *Reader) Term() (Term, error) {
	start := r.pos
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	whole := NewReader(raw)
	whole.room = len(raw)
	t, err := whole.term(0)
	if err != nil {
		r.pos = start
		return nil, err
	}
	return t, nil
}

// leaf reads the head of a term of kind k, or fails with the error not.
func (r *Reader) leaf(h *head, k kind, not error) error {
	if err := h.parse(r.buf[r.pos:]); err != nil {
		return err
	}
	if h.kind != k {
		return not
	}
	r.pos += h.size
	return nil
}

// container reads the head of a term of kind k and returns how many terms follow.
func (r *Reader) container(k kind, not error) (int, error) {
	var h head
	err := r.leaf(&h, k, not)
	return h.n, err
}
