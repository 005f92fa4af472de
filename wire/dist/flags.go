package dist

import (
	"fmt"
	"math/bits"
	"strings"
)

// Flags are a node's capabilities, as the handshake exchanges them. The names are OTP's without the
// prefix DFLAG_.
type Flags uint64

// The capabilities, as lib/kernel/include/dist.hrl of OTP 25 to 29 numbers them.
const (
	FlagPublished          Flags = 1 << 0 // not hidden
	FlagAtomCache          Flags = 1 << 1
	FlagExtendedReferences Flags = 1 << 2
	FlagDistMonitor        Flags = 1 << 3
	FlagFunTags            Flags = 1 << 4
	FlagDistMonitorName    Flags = 1 << 5
	FlagHiddenAtomCache    Flags = 1 << 6
	FlagNewFunTags         Flags = 1 << 7
	FlagExtendedPidsPorts  Flags = 1 << 8
	FlagExportPtrTag       Flags = 1 << 9
	FlagBitBinaries        Flags = 1 << 10
	FlagNewFloats          Flags = 1 << 11
	FlagUnicodeIO          Flags = 1 << 12
	FlagDistHdrAtomCache   Flags = 1 << 13
	FlagSmallAtomTags      Flags = 1 << 14
	FlagUTF8Atoms          Flags = 1 << 16
	FlagMapTag             Flags = 1 << 17
	FlagBigCreation        Flags = 1 << 18
	FlagSendSender         Flags = 1 << 19
	FlagBigSeqtraceLabels  Flags = 1 << 20
	FlagExitPayload        Flags = 1 << 22
	FlagFragments          Flags = 1 << 23
	FlagHandshake23        Flags = 1 << 24
	FlagUnlinkID           Flags = 1 << 25
	FlagMandatory25Digest  Flags = 1 << 26 // the documents say 36, which nodes refuse
	FlagSpawn              Flags = 1 << 32
	FlagNameMe             Flags = 1 << 33
	FlagV4NC               Flags = 1 << 34 // pids, ports and references with large numbers
	FlagAlias              Flags = 1 << 35
)

const (
	// Mandatory25 is what a node of OTP 25 requires of another one. FlagMandatory25Digest stands
	// for it.
	Mandatory25 = FlagExtendedReferences | FlagFunTags | FlagNewFunTags | FlagExtendedPidsPorts |
		FlagExportPtrTag | FlagBitBinaries | FlagNewFloats | FlagUTF8Atoms | FlagMapTag |
		FlagBigCreation | FlagHandshake23

	// Mandatory26 is what nodes of OTP 26 and later require.
	Mandatory26 = Mandatory25 | FlagUnlinkID | FlagV4NC

	// Default is erluv's own flags. Without FlagPublished it is a hidden node. Without
	// FlagFragments and FlagDistHdrAtomCache every frame is complete and independent. Without
	// FlagSpawn the peer itself answers remote spawns. Without FlagAlias no reply needs an alias.
	Default = Mandatory26 | FlagMandatory25Digest | FlagDistMonitor | FlagDistMonitorName |
		FlagUnicodeIO | FlagSmallAtomTags | FlagSendSender | FlagExitPayload

	// needed is what the peer must support, since this node sends it.
	needed = Mandatory26 | FlagDistMonitor | FlagExitPayload
)

var flagNames = map[Flags]string{
	FlagPublished: "PUBLISHED", FlagAtomCache: "ATOM_CACHE", FlagExtendedReferences: "EXTENDED_REFERENCES",
	FlagDistMonitor: "DIST_MONITOR", FlagFunTags: "FUN_TAGS", FlagDistMonitorName: "DIST_MONITOR_NAME",
	FlagHiddenAtomCache: "HIDDEN_ATOM_CACHE", FlagNewFunTags: "NEW_FUN_TAGS", FlagExtendedPidsPorts: "EXTENDED_PIDS_PORTS",
	FlagExportPtrTag: "EXPORT_PTR_TAG", FlagBitBinaries: "BIT_BINARIES", FlagNewFloats: "NEW_FLOATS",
	FlagUnicodeIO: "UNICODE_IO", FlagDistHdrAtomCache: "DIST_HDR_ATOM_CACHE", FlagSmallAtomTags: "SMALL_ATOM_TAGS",
	FlagUTF8Atoms: "UTF8_ATOMS", FlagMapTag: "MAP_TAG", FlagBigCreation: "BIG_CREATION", FlagSendSender: "SEND_SENDER",
	FlagBigSeqtraceLabels: "BIG_SEQTRACE_LABELS", FlagExitPayload: "EXIT_PAYLOAD", FlagFragments: "FRAGMENTS",
	FlagHandshake23: "HANDSHAKE_23", FlagUnlinkID: "UNLINK_ID", FlagMandatory25Digest: "MANDATORY_25_DIGEST",
	FlagSpawn: "SPAWN", FlagNameMe: "NAME_ME", FlagV4NC: "V4_NC", FlagAlias: "ALIAS",
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

// expand adds the flags that a digest flag stands for.
func (f Flags) expand() Flags {
	if f&FlagMandatory25Digest != 0 {
		f |= Mandatory25
	}
	return f
}
