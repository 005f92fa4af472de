// Package sandbox takes privileges away, and looks whether they are gone. Drop
// runs in the stage, on the one locked thread that then becomes a role of erluv
// by execve(2): only so do all threads of a Go program have the same ids,
// capabilities and no_new_privs (prctl(2) reaches one thread). NotDumpable is what
// is left for the role itself, because execve undoes it. Check is the look from
// outside: erluv_main trusts no process to say of itself that it has dropped.
//
// OwnProc comes before, for the init of a pid namespace.
//
// What confines beside ids comes in Parts, which a kernel may lack; Choose decides by
// the configured Mode:
//
//	main's starting thread   Enclose: a domain of Landlock that no signal leaves
//	  │ stage of the child     Recipe.Rules: files and ports
//	  │   child                Seal: a filter of system calls, on all threads
//	  │ stage of the spawner   Recipe.FilterPrograms: a small one, for all programs
//	  │   spawner              Rules.Ruleset, for each program a domain of its own,
//	  │     program            which its process enters between fork and exec
//
// The package decides nothing else: whom to drop to, and for which role, says
// mainproc; how a program is to be confined, its request.
package sandbox
