package crew

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"erluv/ipc"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

const (
	// conversation is the descriptor of a role's conversation with main.
	conversation = 3

	// outerProc is the descriptor that sandbox.OwnProc opens for the init of a pid namespace.
	outerProc = 4
)

// monitorSlack is the timer slack of the Go runtime's threads in a role, in nanoseconds. A thread's
// timers may be that late (PR_SET_TIMERSLACK in prctl(2)). While a role works, the runtime's monitor
// (sysmon) sleeps for only 20 µs at a time. Each time it takes the processor from a thread that
// works. A role does not need a monitor that is faster than this.
const monitorSlack = 5_000_000

// Stage runs in a separate process between main and a role: `erluv stage ROLE UID GID PARENT PARTS
// [GROUPS]`. For the init of a pid namespace PARENT is 0. Stage drops all privileges that the role
// must not have. Then it becomes the role: the same binary, with an empty environment. The role's
// name is the first argument; the ids follow for the spawner, and the PARTS for other roles. It
// returns only if that fails, after it has reported the error to main.
func Stage(args []string) error {
	runtime.LockOSThread() // the thread that drops is the one that execs
	role, recipe, err := parseStage(args)
	if err != nil {
		return err
	}
	argv := []string{"erluv", role.String()}
	if role == ipc.RoleSpawner {
		argv = append(argv, settleArgs(recipe.Identity)...)
	} else {
		argv = append(argv, args[4])
	}
	conn, err := ipc.FromFD(conversation)
	if err != nil {
		return fmt.Errorf("a stage is started by erluv alone: %w", err)
	}
	err = becomeRole(argv, recipe)
	_ = conn.Send(ipc.Append(nil, ipc.Failed{Text: err.Error()}), time.Second)
	return err
}

// parseStage parses the arguments that starter.start writes.
func parseStage(args []string) (role ipc.Role, r sandbox.Recipe, err error) {
	if len(args) != 5 && len(args) != 6 {
		return 0, r, errors.New("a stage is started by erluv alone")
	}
	switch args[0] {
	case ipc.RoleChild.String():
		role = ipc.RoleChild
	case ipc.RoleSpawner.String():
		role = ipc.RoleSpawner
	case ipc.RoleRelay.String():
		role = ipc.RoleRelay
	default:
		return 0, r, fmt.Errorf("there is no role %q", args[0])
	}
	uid, err1 := strconv.ParseUint(args[1], 10, 32)
	gid, err2 := strconv.ParseUint(args[2], 10, 32)
	parent, err3 := strconv.Atoi(args[3])
	parts, err4 := strconv.ParseUint(args[4], 10, 8)
	r = recipeOf(role, sandbox.Parts(parts))
	var err5 error
	if len(args) == 6 {
		err5 = parseRest(args[5], &r.Identity)
	}
	r.UID, r.GID, r.Parent, r.KeepFD = uint32(uid), uint32(gid), parent, conversation
	// Without a pid namespace the spawner itself ends the programs. As the parent of orphans it
	// also ends those that have left their groups. The child ends with main, and the spawner then
	// sees the end of their conversation.
	r.Outlives = role == ipc.RoleSpawner && parent != 0
	return role, r, errors.Join(err1, err2, err3, err4, err5)
}

// The last argument of a stage is the rest of an identity: one of these words, if it applies, then
// the supplementary groups.
const (
	maybeRoot  = "root"    // ids may be root's
	keptPrefix = "keeper=" // and a number: the keeper
)

func restOf(id sandbox.Identity) string {
	var words []string
	if id.MayBeRoot {
		words = append(words, maybeRoot)
	}
	if id.Keeper != 0 {
		words = append(words, keptPrefix+word(id.Keeper))
	}
	for _, g := range id.Groups {
		words = append(words, word(g))
	}
	return strings.Join(words, ",")
}

func parseRest(text string, id *sandbox.Identity) (err error) {
	words := strings.Split(text, ",")
	keeper, kept := strings.CutPrefix(words[0], keptPrefix)
	if kept {
		id.Keeper, err = number(keeper)
	}
	if id.MayBeRoot = words[0] == maybeRoot; id.MayBeRoot || kept {
		words = words[1:]
	}
	for i := 0; i < len(words) && err == nil; i++ {
		var g uint32
		g, err = number(words[i])
		id.Groups = append(id.Groups, g)
	}
	return err
}

func word(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func number(word string) (uint32, error) {
	n, err := strconv.ParseUint(word, 10, 32)
	return uint32(n), err
}

// settleArgs returns the arguments of Settle.
func settleArgs(id sandbox.Identity) []string {
	return []string{word(id.UID), word(id.GID), word(id.Keeper)}
}

// recipeOf returns the part of the recipe that differs between roles. Every program inherits the
// spawner's limits, so they stay as the administrator has set them.
func recipeOf(role ipc.Role, parts sandbox.Parts) sandbox.Recipe {
	switch role {
	case ipc.RoleChild:
		return sandbox.Recipe{NoCore: true, AllFiles: true, Rules: parts.OfChild()}
	case ipc.RoleRelay: // a core would hold the private key
		return sandbox.Recipe{NoCore: true, Rules: parts.OfRelay()}
	}
	return sandbox.Recipe{FilterPrograms: parts.Has(sandbox.Seccomp)}
}

func becomeRole(argv []string, r sandbox.Recipe) error {
	if r.Parent == 0 {
		if err := sandbox.OwnProc(outerProc); err != nil {
			return fmt.Errorf("cannot make a home for the pid namespace: %w", err)
		}
		r.KeepFD = outerProc
	}
	if err := sandbox.Drop(r); err != nil {
		return err
	}
	// FromFD has made it close-on-exec.
	if _, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, conversation, syscall.F_SETFD, 0); e != 0 {
		return fmt.Errorf("cannot keep descriptor %d: %w", conversation, e)
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, monitorSlack, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set the accuracy of timers: %w", err)
	}
	err := syscall.Exec(self, argv, []string{})
	path, _ := os.Readlink(self)
	return fmt.Errorf("cannot run %s as uid %d, gid %d: %w: may every user execute it?", path, r.UID, r.GID, err)
}

// Seal is the child's first act, with its arguments: see sandbox.Parts.Seal. It reports an error to
// main before it returns it.
func Seal(args []string) error { return sealed(args, sandbox.Parts.Seal) }

// SealRelay does the same for the relay.
func SealRelay(args []string) error { return sealed(args, sandbox.Parts.SealRelay) }

func sealed(args []string, seal func(sandbox.Parts) error) error {
	ownSlack()
	if len(args) != 1 {
		return errors.New("a role is started by erluv alone")
	}
	parts, err := strconv.ParseUint(args[0], 10, 8)
	if err != nil {
		return err
	}
	return orTellMain(seal(sandbox.Parts(parts)))
}

// Settle is the spawner's first act, with its arguments: see sandbox.Settle. It reports an error to
// main before it returns it.
func Settle(args []string) error {
	ownSlack()
	if len(args) != 3 {
		return errors.New("a spawner is started by erluv alone")
	}
	uid, err1 := number(args[0])
	gid, err2 := number(args[1])
	keeper, err3 := number(args[2])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	return orTellMain(sandbox.Settle(sandbox.Identity{UID: uid, GID: gid, Keeper: keeper}))
}

// ownSlack gives the first thread of a role the timer slack of main back, which is the default one
// of that thread. Programs inherit it. The other threads keep monitorSlack. Their timers are for
// hundredths of a second and more, but for a few that wait for room.
func ownSlack() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) } // 0, to reset it, is always valid

// orTellMain reports an error to main, and returns it.
func orTellMain(err error) error {
	if err == nil {
		return nil
	}
	if conn, no := ipc.FromFD(conversation); no == nil {
		_ = conn.Send(ipc.Append(nil, ipc.Failed{Text: err.Error()}), time.Second)
	}
	return err
}
