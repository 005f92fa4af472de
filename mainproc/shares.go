package mainproc

import (
	"fmt"

	"erluv/ipc"
	"erluv/mainproc/link"

	"golang.org/x/sys/unix"
)

// Of the descriptors that main may have, what comes from outside has at most these shares. A quarter
// is left for the crew, and for whatever main opens for a moment.
//
//	links to nodes        three eighths, of which each link takes link.Cost
//	operators             three for each: three thirty-seconds
//	handshakes            one for each: an eighth
//	those with a relay    ten for each, the first included: five thirty-seconds
type shares struct {
	limit       int // of main's descriptors
	links       int
	descriptors int // of links
	operators   int
	guests      int // handshakes
	relays      int // of guests
}

// The same where descriptors are no matter. At the rate at which connections are accepted the oldest
// of mostGuests, which makes room for a new one, has had 128 ms: a node needs two answers of ours in
// that time. With fewer a crowd of strangers on the node's own machine would keep it out.
const (
	mostOperators = 100
	mostGuests    = 128
	mostRelays    = 48 // see link.NewSecure
)

// sharesOf divides so many descriptors.
func sharesOf(limit uint64) shares {
	part := func(of uint64, most int) int { return int(max(1, min(limit/of, uint64(most)))) }
	return shares{
		limit:       int(min(limit, 1<<30)),
		links:       ipc.MostLinks(limit),
		descriptors: int(min(limit, 1<<30)) / 8 * 3,
		operators:   part(32, mostOperators),
		guests:      part(8, mostGuests),
		relays:      part(64, mostRelays),
	}
}

// ownShares divides what this process may have now. Without a limit that can be read there is next
// to nothing.
func ownShares() shares {
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return sharesOf(limit.Cur)
}

// affords says why main cannot have one more link, or nil. Those that but has are not counted: they
// are to end for it, or are itself.
func (g *guard) affords(overTLS bool, but func(*line) bool) error {
	s, links, descriptors := ownShares(), 0, 0
	for _, l := range g.lines {
		if l.State != link.Waiting && l.State != link.Met && l.State != link.Ended && !l.operator && !but(l) {
			links++
			descriptors += link.Cost(l.overTLS)
		}
	}
	if links < s.links && descriptors+link.Cost(overTLS) <= s.descriptors {
		return nil
	}
	return fmt.Errorf("there are connections to %d nodes, which is all that the limit of %d descriptors has room for (ulimit -n; LimitNOFILE of systemd)", links, s.limit)
}
