package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A line of the table of system calls. The lines of one call are adjacent. The first line whose
// conditions all hold decides; if none does, the call is denied.
type line struct {
	call uintptr
	do   uint32 // allow, kill or one of errno
	when []cond
}

// cond holds when the argument, masked with mask, equals one of the values.
type cond struct {
	arg    int
	mask   uint64
	values []uint64
}

// The actions of a line.
const (
	allow = unix.SECCOMP_RET_ALLOW
	kill  = unix.SECCOMP_RET_KILL_PROCESS
	deny  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unmet = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS) // as by a kernel without it
)

// The conditions. The kernel reads an int from the low half of the register alone. The other half
// can hold anything (seccomp(2), CAVEATS).
func is(arg int, values ...uint64) []cond { return []cond{{arg, 1<<32 - 1, values}} }
func without(arg int, bits uint64) []cond { return []cond{{arg, bits, []uint64{0}}} }
func isNull(arg int) []cond               { return []cond{{arg, 1<<64 - 1, []uint64{0}}} }
func exactly(arg int, must, may uint64) []cond {
	return []cond{{arg, (1<<32 - 1) &^ may, []uint64{must}}}
}

// The offsets within struct seccomp_data (seccomp(2)).
const (
	dataCall = 0
	dataArch = 4
	dataArgs = 16
)

// Instructions are four classes: load a word, compare or mask it, jump, return.
const (
	opLoad   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opAbove  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K // or equal
	opReturn = unix.BPF_RET | unix.BPF_K
	opJump   = unix.BPF_JMP | unix.BPF_JA
)

type program []unix.SockFilter

// jump skips over instructions. A comparison can skip only 255.
func jump(over int) unix.SockFilter { return unix.SockFilter{Code: opJump, K: uint32(over)} }

func (p *program) add(code uint16, k uint32, jt, jf uint8) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

// assemble makes the filter of a table; others is the action for calls without a line. A call by
// another architecture's numbers ends the process, because the table does not describe those
// numbers.
func assemble(table []line, others uint32) (program, error) {
	var p program
	p.add(opLoad, dataArch, 0, 0)
	p.add(opEqual, auditArch, 1, 0)
	p.add(opReturn, kill, 0, 0)
	p.add(opLoad, dataCall, 0, 0)
	if foreign != 0 {
		p.add(opAbove, foreign, 0, 1)
		p.add(opReturn, kill, 0, 0)
	}
	seen := map[uintptr]bool{}
	for i := 0; i < len(table); {
		call := table[i].call
		if seen[call] {
			return nil, fmt.Errorf("the lines of system call %d do not stand together", call)
		}
		seen[call] = true
		var block program
		for ; i < len(table) && table[i].call == call; i++ {
			if err := block.line(table[i]); err != nil {
				return nil, err
			}
		}
		if block[len(block)-1].Code != opReturn || table[i-1].when != nil {
			block.add(opReturn, deny, 0, 0)
		}
		if len(block) > 255 {
			return nil, fmt.Errorf("system call %d has too many conditions", call)
		}
		p.add(opEqual, uint32(call), 0, uint8(len(block)))
		p = append(p, block...)
	}
	p.add(opReturn, others, 0, 0)
	if len(p) > 4096 { // BPF_MAXINSNS
		return nil, fmt.Errorf("a filter of %d instructions", len(p))
	}
	return p, nil
}

// line appends the instructions of a line. When a condition does not hold, they jump behind the
// line.
func (p *program) line(l line) error {
	var code program
	var out []int // jumps to the end
	for _, c := range l.when {
		high, low := uint32(c.mask>>32), uint32(c.mask)
		if high != 0 && len(c.values) != 1 {
			return fmt.Errorf("system call %d: a wide argument is compared with one value only", l.call)
		}
		if high != 0 {
			code.word(c.arg, 4, high)
			out = append(out, len(code))
			code.add(opEqual, uint32(c.values[0]>>32), 0, 0)
		}
		code.word(c.arg, 0, low)
		for i, v := range c.values {
			if i == len(c.values)-1 {
				out = append(out, len(code))
				code.add(opEqual, uint32(v), 0, 0)
				break
			}
			code.add(opEqual, uint32(v), uint8(len(c.values)-1-i), 0)
		}
	}
	code.add(opReturn, l.do, 0, 0)
	if len(code) > 255 {
		return fmt.Errorf("system call %d has a condition of too many values", l.call)
	}
	for _, at := range out {
		code[at].Jf = uint8(len(code) - 1 - at)
	}
	*p = append(*p, code...)
	return nil
}

// word loads one half of an argument (both architectures are little-endian), masked with mask.
func (p *program) word(arg int, half, mask uint32) {
	p.add(opLoad, dataArgs+8*uint32(arg)+half, 0, 0)
	if mask != 1<<32-1 {
		p.add(opAnd, mask, 0, 0)
	}
}
