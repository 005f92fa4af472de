#include "textflag.h"

// func vforkSteps(trap, a1, a2, a3 uintptr, first *step, end uintptr, failed *uintptr) (pid, errno uintptr)
//
// The new process has our stack: it neither writes to it nor leaves this function.
TEXT ·vforkSteps(SB), NOSPLIT|NOFRAME, $0-72
	MOVQ	trap+0(FP), AX
	MOVQ	a1+8(FP), DI
	MOVQ	a2+16(FP), SI
	MOVQ	a3+24(FP), DX
	MOVQ	first+32(FP), BX
	MOVQ	end+40(FP), R12
	MOVQ	failed+48(FP), R13
	MOVQ	$0, R10
	MOVQ	$0, R8
	MOVQ	$0, R9
	SYSCALL
	CMPQ	AX, $0
	JEQ	next
	CMPQ	AX, $-4096
	JHI	error
	MOVQ	AX, pid+56(FP)
	MOVQ	$0, errno+64(FP)
	RET

error:
	NEGQ	AX
	MOVQ	$0, pid+56(FP)
	MOVQ	AX, errno+64(FP)
	RET

next:	// BX is the step; see type step
	MOVQ	0(BX), AX
	MOVQ	8(BX), DI
	MOVQ	16(BX), SI
	MOVQ	24(BX), DX
	MOVQ	32(BX), R10
	MOVQ	$0, R8
	MOVQ	$0, R9
	SYSCALL
	MOVQ	AX, 48(BX)
	MOVQ	40(BX), CX
	CMPQ	CX, $-1
	JEQ	done
	CMPQ	AX, $-4096
	JHI	fail
	CMPQ	CX, $0
	JEQ	done
	CMPQ	AX, CX
	JNE	fail

done:
	ADDQ	$56, BX
	CMPQ	BX, R12
	JNE	next

fail:
	MOVQ	BX, 0(R13)
	MOVQ	$231, AX // exit_group
	MOVQ	$127, DI
	SYSCALL
	INT	$3
