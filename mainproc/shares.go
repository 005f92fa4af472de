package mainproc

import (
	"fmt"

	"erluv/ipc"
	"erluv/mainproc/link"

	"golang.org/x/sys/unix"
)

// Outside connections have at most these shares of main's descriptors. A quarter is left for the
// crew, and for files that main opens briefly.
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
	relays      int // those of guests
}

// The maximum of each share. With mostGuests handshakes under way, a new connection ends the
// oldest. At the rate of accepted connections that one has had 128 ms, in which a node needs two of
// our answers. With fewer guests, a crowd of strangers on a node's own machine would keep the node
// out.
const (
	mostOperators = 100
	mostGuests    = 128
	mostRelays    = 48 // see link.NewSecure
)

// sharesOf divides limit descriptors.
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

// ownShares divides the descriptors that this process may have now. If the limit cannot be read,
// the shares are minimal.
func ownShares() shares {
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return sharesOf(limit.Cur)
}

// affords returns an error if main cannot have one more link. It does not count lines for which but
// is true: they end for the new one, or are the new one.
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
