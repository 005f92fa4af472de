// Package sandbox removes privileges and verifies that they are gone. Drop runs in the stage, on
// the one locked thread that then becomes a role of erluv by execve(2). Only an exec gives all
// threads of a Go program the same ids, capabilities and no_new_privs (prctl(2) changes one
// thread). The role itself calls NotDumpable, because execve undoes that. Check verifies from
// outside: erluv_main does not rely on a process's own claim.
//
// The init of a pid namespace calls OwnProc before Drop.
//
// Further confinement comes in Parts. A kernel may lack some of them; Choose decides by the
// configured Mode:
//
//	main's starting thread   Enclose: a domain of Landlock that no signal leaves
//	  │ stage of the child     Recipe.Rules: files and ports
//	  │   child                Seal: a filter of system calls, on all threads
//	  │ stage of the spawner   Recipe.FilterPrograms: a small one, for all programs
//	  │   spawner              Rules.Ruleset, for each program a domain of its own,
//	  │     program            which its process enters between fork and exec
//
// The package decides nothing else. Package mainproc chooses each role's user, and the request for
// a program chooses the program's confinement.
//
//	drop.go            Drop: the order of its steps, and those without a file of their own
//	ids.go             users, groups and capabilities; the proof that they are gone
//	keeper.go          the user to whom the control groups belong
//	check.go           Check: a role as main sees it
//	parts.go           Parts and Mode; the rules of each role
//	landlock.go        Rules: domains of Landlock
//	spare.go           rules that protect control groups without a keeper
//	bpf.go             a table of system calls becomes a filter
//	seccomp.go         Seal; the filter that all programs inherit
//	seccomp_table.go   the system calls of child, relay and page
//	seccomp_amd64.go   the calls that only this architecture has, or under another name
//	seccomp_arm64.go   the same for arm64
//	seccomp_other.go   no filters on other architectures
//	denied.go          Denials: the filter of one program
//	numbers_amd64.go   the numbers of denied calls
//	numbers_arm64.go   the same for arm64
//	pidns.go           /proc of a pid namespace
//	cgroup/            control groups of programs
package sandbox
