package dist_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// FuzzParse checks that Parse never panics. Each accepted message consists of whole terms, and has
// only the fields of its layout.
func FuzzParse(f *testing.F) {
	for _, c := range forms {
		f.Add(frame(f, c.control, c.payload))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		var m dist.Message
		err := dist.Parse(b, &m)
		if !bytes.Equal(b, in) {
			t.Fatal("Parse changes the frame")
		}
		if err != nil {
			if !reflect.DeepEqual(m, dist.Message{}) {
				t.Fatalf("a refused frame leaves %+v", m)
			}
			return
		}
		for _, raw := range []etf.Raw{m.Ref, m.Reason, m.Payload} {
			if raw == nil {
				continue
			}
			if _, err := etf.Decode(raw); err != nil && !errors.Is(err, etf.ErrDepth) {
				t.Fatalf("% x is no term: %v", raw, err)
			}
		}
		// A composer makes the same message again, if there is one for it.
		if again := compose(&m); again != nil {
			var m2 dist.Message
			if err := dist.Parse(again[dist.HeaderSize:], &m2); err != nil || !reflect.DeepEqual(m, m2) {
				t.Fatalf("%+v\nbecomes %+v: %v", m, m2, err)
			}
		}
	})
}

// compose makes a frame of m, or returns nil for messages that this node never sends.
func compose(m *dist.Message) []byte {
	switch m.Op {
	case dist.Send:
		return dist.End(append(dist.BeginSend(nil, m.To), m.Payload...), 0)
	case dist.RegSend:
		return dist.End(append(dist.BeginRegSend(nil, m.From, m.Name), m.Payload...), 0)
	case dist.Link:
		return dist.AppendLink(nil, m.From, m.To)
	case dist.UnlinkID:
		return dist.AppendUnlinkID(nil, m.ID, m.From, m.To)
	case dist.UnlinkIDAck:
		return dist.AppendUnlinkIDAck(nil, m.ID, m.From, m.To)
	case dist.PayloadExit:
		return dist.AppendExit(nil, m.From, m.To, m.Reason)
	case dist.PayloadExit2:
		return dist.AppendExit2(nil, m.From, m.To, m.Reason)
	case dist.PayloadMonitorPExit:
		if m.HasName {
			return dist.AppendMonitorExitName(nil, m.Name, m.To, m.Ref, m.Reason)
		}
		return dist.AppendMonitorExit(nil, m.From, m.To, m.Ref, m.Reason)
	case dist.MonitorP, dist.DemonitorP:
		if m.HasName {
			return nil
		}
		if m.Op == dist.MonitorP {
			return dist.AppendMonitor(nil, m.From, m.To, m.Ref)
		}
		return dist.AppendDemonitor(nil, m.From, m.To, m.Ref)
	}
	return nil
}

// split takes all whole frames from stream, which arrives in the given chunks.
func split(stream []byte, sizes []byte, limit int) (frames [][]byte, rest []byte, err error) {
	var buf []byte
	for i := 0; len(stream) > 0; i++ {
		n := len(stream)
		if i < len(sizes) {
			n = min(n, int(sizes[i]))
		}
		buf, stream = append(buf, stream[:n]...), stream[n:]
		for {
			frame, n, err := dist.Next(buf, limit)
			if err != nil {
				return frames, buf, err
			}
			if n == 0 {
				break
			}
			frames, buf = append(frames, bytes.Clone(frame)), buf[n:]
		}
	}
	return frames, buf, nil
}

// FuzzSplit checks that the frames do not depend on how the stream is cut.
func FuzzSplit(f *testing.F) {
	var stream []byte
	for _, c := range composed {
		stream = dist.AppendTick(c.make(stream))
	}
	f.Add(stream, []byte{1, 1, 1, 1, 1, 200, 0, 3}, uint16(1000))
	f.Add(stream, bytes.Repeat([]byte{1}, len(stream)), uint16(1000))
	f.Add(append(stream, 0, 0, 4), bytes.Repeat([]byte{7}, 300), uint16(20))
	f.Fuzz(func(t *testing.T, stream, sizes []byte, limit uint16) {
		whole, wholeRest, wholeErr := split(stream, nil, int(limit))
		cut, cutRest, cutErr := split(stream, sizes, int(limit))
		if (wholeErr == nil) != (cutErr == nil) || len(whole) != len(cut) {
			t.Fatalf("%d frames (%v), cut %d (%v)", len(whole), wholeErr, len(cut), cutErr)
		}
		for i := range whole {
			if !bytes.Equal(whole[i], cut[i]) {
				t.Fatalf("frame %d is %q, cut %q", i, whole[i], cut[i])
			}
		}
		if wholeErr == nil && !bytes.Equal(wholeRest, cutRest) {
			t.Fatalf("%q is left, cut %q", wholeRest, cutRest)
		}
	})
}

// greetings are the first messages of real nodes of OTP 25, 27 and 29: one visible, one hidden, and
// one without a name yet. They are the same for a node that EPMD knows for version 5.
var greetings = []string{
	"\x00\x1aN\x00\x00\x00\r\x07\xdf\x7f\xbdk\x0b\xd7\xef\x00\x0bn@127.0.0.1",
	"\x00\x1aN\x00\x00\x00\r\x07\xdf\x7f\xbck\x0b\xd7\xf2\x00\x0bn@127.0.0.1",
	"\x00\x11N\x00\x00\x00\x0f\x07\xdf\x7f\xbc\x00\x00\x00\x00\x00\x02vm",
	"\x00\x1aN\x00\x00\x00\r\x07\xdf\x7f\xbdk\x0b\xd7\xfd\x00\x0bn@127.0.0.1",
	"\x00\x1aN\x00\x00\x00\r\x07\xdf\x7f\xbc\n\xff\x10\x11\x00\x0bn@127.0.0.1",
	"\x00\x1aN\x00\x00\x00m\x07\xdf\x7f\xbdk\x0b\xd8\x0c\x00\x0bn@127.0.0.1",
	"\x00\x11N\x00\x00\x00o\x07\xdf\x7f\xbc\x00\x00\x00\x00\x00\x02vm",
}

// FuzzAccept checks Accept against a stranger that sends anything, and may even prove the cookie.
// Accept does not panic and reads neither more than 4,096 bytes nor beyond the handshake. It
// accepts a node only if its name is valid and not our own. It calls decide exactly once for it.
func FuzzAccept(f *testing.F) {
	statuses := []string{dist.StatusOK, dist.StatusOKSimultaneous, dist.StatusAlive, dist.StatusNotOK, dist.StatusNotAllowed, ""}
	for _, g := range greetings {
		for i := range statuses {
			f.Add([]byte(g), uint8(i), true)
			f.Add([]byte(g+"\x00\x05strue"), uint8(i), true)
		}
		f.Add([]byte(g+"\x00\x06sfalse"), uint8(2), true)
		f.Add([]byte(g+"\x00\x15r...................."), uint8(0), false)
	}
	f.Fuzz(func(t *testing.T, in []byte, status uint8, proof bool) {
		s := &script{proof: proof}
		s.in.Write(in)
		s.in.Truncate(min(len(in), 1<<16))
		said := statuses[int(status)%len(statuses)]
		var asked []dist.Peer
		peer, err := dist.Accept(t.Context(), s, server, func(p dist.Peer) string {
			asked = append(asked, p)
			return said
		})
		if s.read > 4096 {
			t.Fatalf("%d bytes are read", s.read)
		}
		if err != nil {
			if peer != (dist.Peer{}) {
				t.Fatalf("%v leaves %+v", err, peer)
			}
			return
		}
		if s.in.Len() > 0 || !proof {
			t.Fatalf("%+v is taken: %d bytes are left, proof is %t", peer, s.in.Len(), proof)
		}
		if len(asked) != 1 || asked[0] != peer {
			t.Fatalf("%+v is taken, and was asked about %+v", peer, asked)
		}
		alive, host, _ := strings.Cut(peer.Name, "@")
		if alive == "" || host == "" || strings.Contains(host, "@") || len(peer.Name) > 255 || peer.Name == server.Name {
			t.Fatalf("%q is taken", peer.Name)
		}
		if _, err := etf.AppendTerm(nil, etf.Atom(peer.Name)); err != nil {
			t.Fatal(err)
		}
		if peer.Flags&dist.Mandatory26 != dist.Mandatory26 {
			t.Fatalf("%v is taken", peer.Flags)
		}
	})
}
