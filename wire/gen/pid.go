package gen

import "erluv/wire/etf"

// Pids of this node have 15 bits of ID and 13 of serial, which every release of OTP accepts.
// Together they are the number of the pid. Main's own number is the last one. Each child's numbers
// begin with a serial of its own, the first child's with 0.
const (
	IDBits     = 15
	SerialBits = 13

	// Numbers is the number of pids, and NumberOfMain the last one.
	Numbers      = 1 << (IDBits + SerialBits)
	NumberOfMain = Numbers - 1
)

// PidOf returns the pid with a number.
func PidOf(node etf.Atom, creation, number uint32) etf.Pid {
	return etf.Pid{Node: node, Creation: creation, ID: number & (1<<IDBits - 1), Serial: number >> IDBits}
}
