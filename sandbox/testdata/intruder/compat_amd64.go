package main

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

func int80(trap, a1, a2, a3, a4, a5 uint32) int32

// compatCall makes a call by its i386 number. A kernel without these, such as one started with
// ia32_emulation=0, answers with a fault.
func compatCall(trap uintptr, args ...uintptr) (err error) {
	debug.SetPanicOnFault(true)
	defer func() {
		if recover() != nil {
			err = unix.ENOSYS
		}
	}()
	var a [5]uint32
	for i, v := range args {
		a[i] = uint32(v)
	}
	if r := int80(uint32(trap), a[0], a[1], a[2], a[3], a[4]); r < 0 && r > -4096 {
		return unix.Errno(-r)
	}
	return nil
}
