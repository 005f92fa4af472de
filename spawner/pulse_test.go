package spawner

import (
	"errors"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// beats asks a spawner n times whether it lives, after a message that is not a question. It returns
// the number of answers.
func beats(t *testing.T, n int, rounds uint64) (answers int) {
	t.Helper()
	main, up, err := ipc.Pair()
	must(t, err)
	defer main.Close()
	defer up.Close()
	s := &spawner{log: ipc.NoLogger(), ready: make(chan struct{})}
	close(s.ready)
	s.rounds.Store(rounds)
	must(t, main.Send([]byte{255}, patience))
	must(t, main.Send(ipc.Append(nil, ipc.Ready{}), patience, none(t), none(t)))
	for range n {
		must(t, main.Send(ipc.Append(nil, ipc.Beat{}), patience))
	}
	must(t, unix.Shutdown(main.FD(), unix.SHUT_WR))
	before := descriptors(t)
	s.answerMain(up)
	noneLeft(t, "the conversation", before)
	buf := make([]byte, ipc.MaxPacket)
	for {
		n, _, err := main.TryRecv(buf)
		if errors.Is(err, ipc.ErrEmpty) {
			return answers
		}
		must(t, err)
		if m, err := ipc.Decode(buf[:n]); err != nil || m != (ipc.Beat{}) {
			t.Errorf("%#v, %v", m, err)
		}
		answers++
	}
}

// TestBeats: main is answered while the spawner waits for requests, and while a request does not
// take too long.
func TestBeats(t *testing.T) {
	for _, c := range []struct{ asked, rounds, want int }{
		{stuckBeats * 3, 0, stuckBeats * 3},
		{stuckBeats * 3, 8, stuckBeats * 3}, // it waits for the fifth request
		{stuckBeats - 1, 7, stuckBeats - 1}, // it is busy with the fourth
		{stuckBeats, 7, stuckBeats - 1},     // it has taken too long
		{stuckBeats * 3, 7, stuckBeats - 1}, // it does not end either
	} {
		if got := beats(t, c.asked, uint64(c.rounds)); got != c.want {
			t.Errorf("%d of %d questions are answered in round %d, want %d", got, c.asked, c.rounds, c.want)
		}
	}
}

// TestEndSignal: a spawner that is not an init is only continued, and ends its programs itself.
func TestEndSignal(t *testing.T) {
	for _, v1 := range []bool{true, false} {
		if sig := (&spawner{leaves: &leaves{v1: v1}}).endSignal(); sig != unix.SIGCONT {
			t.Errorf("%v", sig)
		}
	}
}
