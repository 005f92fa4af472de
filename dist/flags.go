package dist

import (
	"fmt"
	"math/bits"
	"strings"
)

// Flags are a node's capabilities, told in the handshake. The names are OTP's
// without the DFLAG_ before them.
type Flags uint64

// The capabilities, as lib/kernel/include/dist.hrl of OTP 25 to 29 numbers them.
const (
	Published          Flags = 1 << 0 // not hidden
	AtomCache          Flags = 1 << 1
	ExtendedReferences Flags = 1 << 2
	DistMonitor        Flags = 1 << 3
	FunTags            Flags = 1 << 4
	DistMonitorName    Flags = 1 << 5
	HiddenAtomCache    Flags = 1 << 6
	NewFunTags         Flags = 1 << 7
	ExtendedPidsPorts  Flags = 1 << 8
	ExportPtrTag       Flags = 1 << 9
	BitBinaries        Flags = 1 << 10
	NewFloats          Flags = 1 << 11
	UnicodeIO          Flags = 1 << 12
	DistHdrAtomCache   Flags = 1 << 13
	SmallAtomTags      Flags = 1 << 14
	UTF8Atoms          Flags = 1 << 16
	MapTag             Flags = 1 << 17
	BigCreation        Flags = 1 << 18
	SendSender         Flags = 1 << 19
	BigSeqtraceLabels  Flags = 1 << 20
	ExitPayload        Flags = 1 << 22
	Fragments          Flags = 1 << 23
	Handshake23        Flags = 1 << 24
	UnlinkIDs          Flags = 1 << 25
	Mandatory25Digest  Flags = 1 << 26 // the documents say 36, which is refused
	Spawn              Flags = 1 << 32
	NameMe             Flags = 1 << 33
	V4NC               Flags = 1 << 34 // pids, ports and references with large numbers
	Alias              Flags = 1 << 35
)

const (
	// Mandatory25 is what a node of OTP 25 asks of another one, and what
	// Mandatory25Digest stands for.
	Mandatory25 = ExtendedReferences | FunTags | NewFunTags | ExtendedPidsPorts | ExportPtrTag | BitBinaries |
		NewFloats | UTF8Atoms | MapTag | BigCreation | Handshake23

	// Mandatory26 is what nodes of OTP 26 and later ask.
	Mandatory26 = Mandatory25 | UnlinkIDs | V4NC

	// Default is what erluv says of itself. It is not Published, which makes
	// it a hidden node; without Fragments and DistHdrAtomCache every frame is
	// whole and stands for itself; without Spawn the peer answers remote
	// spawns itself; without Alias no reply needs one.
	Default = Mandatory26 | Mandatory25Digest | DistMonitor | DistMonitorName | UnicodeIO | SmallAtomTags |
		SendSender | ExitPayload

	// needed is what the peer must understand of what we send: all that the
	// composers of this package write.
	needed = Mandatory26 | DistMonitor | ExitPayload
)

var flagNames = map[Flags]string{
	Published: "PUBLISHED", AtomCache: "ATOM_CACHE", ExtendedReferences: "EXTENDED_REFERENCES",
	DistMonitor: "DIST_MONITOR", FunTags: "FUN_TAGS", DistMonitorName: "DIST_MONITOR_NAME",
	HiddenAtomCache: "HIDDEN_ATOM_CACHE", NewFunTags: "NEW_FUN_TAGS", ExtendedPidsPorts: "EXTENDED_PIDS_PORTS",
	ExportPtrTag: "EXPORT_PTR_TAG", BitBinaries: "BIT_BINARIES", NewFloats: "NEW_FLOATS",
	UnicodeIO: "UNICODE_IO", DistHdrAtomCache: "DIST_HDR_ATOM_CACHE", SmallAtomTags: "SMALL_ATOM_TAGS",
	UTF8Atoms: "UTF8_ATOMS", MapTag: "MAP_TAG", BigCreation: "BIG_CREATION", SendSender: "SEND_SENDER",
	BigSeqtraceLabels: "BIG_SEQTRACE_LABELS", ExitPayload: "EXIT_PAYLOAD", Fragments: "FRAGMENTS",
	Handshake23: "HANDSHAKE_23", UnlinkIDs: "UNLINK_ID", Mandatory25Digest: "MANDATORY_25_DIGEST",
	Spawn: "SPAWN", NameMe: "NAME_ME", V4NC: "V4_NC", Alias: "ALIAS",
}

// String lists the flags by the names that OTP's documents and a node's log use.
func (f Flags) String() string {
	if f == 0 {
		return "none"
	}
	var names []string
	for rest := f; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		name, ok := flagNames[bit]
		if !ok {
			name = fmt.Sprintf("bit %d", bits.TrailingZeros64(uint64(bit)))
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// expand adds what a digest flag stands for.
func (f Flags) expand() Flags {
	if f&Mandatory25Digest != 0 {
		f |= Mandatory25
	}
	return f
}
