#include "textflag.h"

// func vforkSteps(trap, a1, a2, a3 uintptr, first *step, end uintptr, failed *uintptr) (pid, errno uintptr)
//
// The new process has our stack: it neither writes to it nor leaves this function.
TEXT ·vforkSteps(SB), NOSPLIT|NOFRAME, $0-72
	MOVD	trap+0(FP), R8
	MOVD	a1+8(FP), R0
	MOVD	a2+16(FP), R1
	MOVD	a3+24(FP), R2
	MOVD	first+32(FP), R19
	MOVD	end+40(FP), R20
	MOVD	failed+48(FP), R21
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$0, R5
	SVC
	CBZ	R0, next
	CMN	$4095, R0
	BHS	error
	MOVD	R0, pid+56(FP)
	MOVD	ZR, errno+64(FP)
	RET

error:
	NEG	R0, R0
	MOVD	ZR, pid+56(FP)
	MOVD	R0, errno+64(FP)
	RET

next:	// R19 is the step; see type step
	MOVD	0(R19), R8
	MOVD	8(R19), R0
	MOVD	16(R19), R1
	MOVD	24(R19), R2
	MOVD	32(R19), R3
	MOVD	$0, R4
	MOVD	$0, R5
	SVC
	MOVD	R0, 48(R19)
	MOVD	40(R19), R6
	CMN	$1, R6
	BEQ	done
	CMN	$4095, R0
	BHS	fail
	CBZ	R6, done
	CMP	R6, R0
	BNE	fail

done:
	ADD	$56, R19
	CMP	R20, R19
	BNE	next

fail:
	MOVD	R19, 0(R21)
	MOVD	$94, R8 // exit_group
	MOVD	$127, R0
	SVC
	BRK
