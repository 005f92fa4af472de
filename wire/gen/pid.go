package gen

import "erluv/wire/etf"

// Pids of our node have 15 bits of id and 13 of serial, as every release of OTP takes
// them. Together they are the number of the pid. Main's own is the last, and each child's
// begin with a serial of their own, the first with 0.
const (
	IDBits     = 15
	SerialBits = 13

	// Numbers is how many there are, NumberOfMain the last.
	Numbers      = 1 << (IDBits + SerialBits)
	NumberOfMain = Numbers - 1
)

// PidOf is the pid with a number.
func PidOf(node etf.Atom, creation, number uint32) etf.Pid {
	return etf.Pid{Node: node, Creation: creation, ID: number & (1<<IDBits - 1), Serial: number >> IDBits}
}
