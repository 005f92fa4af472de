package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// talker is a node that sends frames of all sizes without end, and checks every byte that it
// receives. It talks only with the child; main sends marker in between.
type talker struct {
	conn   *net.TCPConn
	random *rand.Rand
	quiet  bool // only small frames, so that it reads more
	wg     sync.WaitGroup

	mu     sync.Mutex
	pieces [][]byte // all that was sent; the large ones share memory
	starts []uint64 // of each
	ends   []uint64 // of each frame
	calls  []uint64 // the ends of those that are calls
	total  uint64

	// Of the reader:
	read     uint64
	gotEnds  []uint64 // of the frames since the last marker
	answered int
	workers  map[etf.Pid]*sequence
	marks    chan mark
	errs     []error
}

// mark is what the node has read when main sends marker.
type mark struct {
	ends     []uint64 // of the frames that were read since the last one
	answered int      // calls, from the first on
	err      error
}

const (
	testMain = 1 // ids of processes
	testSelf = 2

	tooLong = 65 << 20 // length of a frame that is skipped
	runUpTo = 200_000
)

func pidOf(id uint32) etf.Pid {
	return etf.Pid{Node: "node@localhost", ID: id, Creation: 9}
}

// filling is the contents of large frames.
var filling = func() []byte {
	b := make([]byte, tooLong+1<<20)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func newTalker(conn *net.TCPConn, seed uint64, quiet bool) *talker {
	return &talker{
		conn: conn, random: rand.New(rand.NewPCG(seed, 1)), quiet: quiet,
		workers: map[etf.Pid]*sequence{}, marks: make(chan mark, 1),
	}
}

// start begins to talk and to listen, until stop.
func (n *talker) start() {
	fill := filling()
	n.wg.Go(func() { n.talk(fill) })
	n.wg.Go(n.listen)
}

func (n *talker) stop() []error {
	_ = n.conn.Close()
	n.wg.Wait()
	return n.errs
}

func (n *talker) talk(fill []byte) {
	for {
		head, body, call := n.frame(fill)
		n.note(head, body, call)
		for _, b := range [][]byte{head, body} {
			if _, err := n.conn.Write(b); err != nil {
				return // stop
			}
		}
	}
}

// frame makes the next frame. It is a call that is answered at once, or a message to a missing
// process, which may be large. Now and then it starts a program that writes without end, or one
// that writes much and ends.
func (n *talker) frame(fill []byte) (head, body []byte, call bool) {
	k := n.random.IntN(1000)
	switch {
	case k < 40:
		return n.call("erluv", etf.Atom("spawn"), spawnOf("seq 1 1000000000")), nil, false
	case k < 50:
		return n.call("erluv", etf.Atom("spawn"), spawnOf("seq 1 1000000000", opt("packet", "line"))), nil, false
	case k < 60:
		run := etf.Tuple{etf.Atom("run"), etf.Binary("seq " + strconv.Itoa(runUpTo)), etf.Map{}}
		return n.call("erluv", etf.Atom("run"), run), nil, false
	case n.quiet:
	case k < 61:
		return n.junk(fill[:tooLong+n.random.IntN(1<<20)])
	case k < 66:
		return n.junk(fill[:n.random.IntN(8<<20)])
	case k < 300:
		return n.junk(fill[:n.random.IntN(300<<10)])
	}
	return n.call("net_kernel", int64(len(n.calls)), etf.Tuple{etf.Atom("is_auth"), etf.Atom("node@localhost")}), nil, true
}

func opt(key, value etf.Atom) etf.Pair { return etf.Pair{Key: key, Value: value} }

func spawnOf(cmd string, opts ...etf.Pair) etf.Term {
	opts = append(opts, opt("link", "false"),
		etf.Pair{Key: etf.Atom("flow"), Value: etf.Tuple{etf.Atom("active"), etf.Atom("true")}})
	return etf.Tuple{etf.Atom("spawn"), etf.Binary(cmd), etf.Map(opts)}
}

func (n *talker) call(name etf.Atom, tag, req etf.Term) []byte {
	self := pidOf(testSelf)
	b, err := etf.AppendTerm(dist.BeginRegSend(nil, self, name),
		etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{self, tag}, req})
	if err != nil {
		panic(err)
	}
	return dist.End(b, 0)
}

func (n *talker) junk(body []byte) (head, _ []byte, call bool) {
	b := etf.AppendBinaryHeader(dist.BeginRegSend(nil, pidOf(testSelf), "nobody"), len(body))
	binary.BigEndian.PutUint32(b, uint32(len(b)-dist.HeaderSize+len(body)))
	return b, body, false
}

// note comes before the bytes are sent, because the child may have read them right after.
func (n *talker) note(head, body []byte, call bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range [][]byte{head, body} {
		n.pieces, n.starts = append(n.pieces, b), append(n.starts, n.total)
		n.total += uint64(len(b))
	}
	n.ends = append(n.ends, n.total)
	if call {
		n.calls = append(n.calls, n.total)
	}
}

// sentWhole reports whether a sent frame ends at this position.
func (n *talker) sentWhole(at uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, found := slices.BinarySearch(n.ends, at)
	return found || at == 0
}

// callsBefore counts the calls up to there.
func (n *talker) callsBefore(at uint64) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return sort.Search(len(n.calls), func(i int) bool { return n.calls[i] > at })
}

// sent returns the bytes that were sent between two positions.
func (n *talker) sent(from, to uint64) (b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := sort.Search(len(n.starts), func(i int) bool { return n.starts[i] > from }) - 1
	for ; from < to; i++ {
		p := n.pieces[i][from-n.starts[i]:]
		p = p[:min(uint64(len(p)), to-from)]
		b = append(b, p...)
		from += uint64(len(p))
	}
	return b
}

// marked waits for the next marker.
func (n *talker) marked() (mark, error) {
	select {
	case m := <-n.marks:
		return m, m.err
	case <-time.After(waitBound):
		return mark{}, errors.New("the node does not see what main has written")
	}
}

func (n *talker) listen() {
	r := bufio.NewReaderSize(n.conn, 1<<20)
	for {
		frame, err := n.next(r)
		if errors.Is(err, net.ErrClosed) {
			return // stop
		}
		if err == nil {
			err = n.check(frame)
		}
		if err != nil {
			err = fmt.Errorf("what the node is sent: after %d bytes: %w", n.read, err)
			n.errs = append(n.errs, err)
			n.marks <- mark{err: err}
			_, _ = io.Copy(io.Discard, n.conn)
			return
		}
	}
}

func (n *talker) next(r io.Reader) ([]byte, error) {
	var head [dist.HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > 32<<20 {
		return nil, fmt.Errorf("a frame of %d bytes", size)
	}
	frame := make([]byte, size)
	_, err := io.ReadFull(r, frame)
	n.read += uint64(dist.HeaderSize + len(frame))
	n.gotEnds = append(n.gotEnds, n.read)
	return frame, err
}

func (n *talker) check(frame []byte) error {
	if len(frame) == 0 {
		return nil // a tick
	}
	var m dist.Message
	if err := dist.Parse(frame, &m); err != nil {
		return err
	}
	switch {
	case m.Op == dist.RegSend && m.Name == "marker":
		n.marks <- mark{ends: n.gotEnds, answered: n.answered}
		n.gotEnds = []uint64{n.read}
		return nil
	case m.Op == dist.RegSend && (m.Name == "erluv" || m.Name == "rex"),
		(m.Op == dist.MonitorP || m.Op == dist.DemonitorP) && m.To == pidOf(testSelf):
		return nil
	case m.Op == dist.Send && m.To == pidOf(testSelf):
		v, err := etf.Decode(m.Payload)
		if err != nil {
			return err
		}
		if tu, ok := v.(etf.Tuple); ok && len(tu) == 2 {
			return n.message(tu[0], tu[1])
		}
	}
	return fmt.Errorf("%v to %v%v of %d bytes", m.Op, m.To, m.Name, len(frame))
}

// message handles an answer, with the call's reference, or a worker's output.
func (n *talker) message(of, what etf.Term) error {
	tu, _ := what.(etf.Tuple)
	switch of := of.(type) {
	case int64:
		if int(of) != n.answered || what != etf.Atom("yes") {
			return fmt.Errorf("the call %d is answered after %d: %v", of, n.answered-1, what)
		}
		n.answered++
		return nil
	case etf.Atom:
		if len(tu) != 2 {
			break
		}
		if pid, ok := tu[1].(etf.Pid); ok && of == "spawn" {
			n.workers[pid] = newSequence(1_000_000_000)
			return nil
		}
		if of == "spawn" && tu[0] == etf.Atom("error") && tu[1] == etf.Atom("max_workers") {
			return nil
		}
		if of == "run" {
			return n.ran(tu)
		}
	case etf.Pid:
		if w := n.workers[of]; w != nil && len(tu) == 2 && tu[0] == etf.Atom("stdout") {
			if b, ok := tu[1].(etf.Binary); ok {
				return w.take(b)
			}
		}
	}
	return fmt.Errorf("%v says %.100v", of, what)
}

func (n *talker) ran(answer etf.Tuple) error {
	if answer[0] == etf.Atom("error") && answer[1] == etf.Atom("max_workers") {
		return nil
	}
	result, _ := answer[1].(etf.Map)
	for _, p := range result {
		if b, ok := p.Value.(etf.Binary); ok && p.Key == etf.Atom("stdout") {
			s := newSequence(runUpTo)
			if err := s.take(b); err != nil {
				return err
			}
			if s.next != runUpTo+1 || len(s.left) > 0 {
				return fmt.Errorf("a run's answer ends before %d", s.next)
			}
			return nil
		}
	}
	return fmt.Errorf("the answer to a run: %.100v", answer)
}

// sequence is the output of seq, of which every byte is known.
type sequence struct {
	next, last int
	line, left []byte // the next line, and the rest of it
}

func newSequence(last int) *sequence { return &sequence{next: 1, last: last} }

func (s *sequence) take(b []byte) error {
	for len(b) > 0 {
		if len(s.left) == 0 {
			if s.next > s.last {
				return fmt.Errorf("output after the last line: %.20q", b)
			}
			s.line = append(strconv.AppendInt(s.line[:0], int64(s.next), 10), '\n')
			s.left = s.line
			s.next++
		}
		k := min(len(b), len(s.left))
		if string(b[:k]) != string(s.left[:k]) {
			return fmt.Errorf("output: %.20q instead of %q", b, s.left)
		}
		b, s.left = b[k:], s.left[k:]
	}
	return nil
}
