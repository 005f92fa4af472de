// Package sandbox takes privileges away, and looks whether they are gone. Drop
// runs in the stage, on the one locked thread that then becomes a role of erluv
// by execve(2): only so do all threads of a Go program have the same ids,
// capabilities and no_new_privs (prctl(2) reaches one thread). NotDumpable is what
// is left for the role itself, because execve undoes it. Check is the look from
// outside: erluv_main trusts no process to say of itself that it has dropped.
//
// OwnProc comes before, for the init of a pid namespace.
//
// What a role is confined by beside its identity (Landlock, seccomp) is one more
// step of the Recipe. The package decides nothing: whom to drop to, and for which
// role, says mainproc.
package sandbox
