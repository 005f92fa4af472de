// Intruder is a program of tests, those of package sandbox and the end-to-end ones. They start it
// in place of a role, or as a program. It tries forbidden things, and prints a line for each
// attempt: the name, then ok or the error. It is static, like erluv, and plays the stage too.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

func main() {
	err := errors.New("nothing to play")
	if len(os.Args) > 1 {
		if play := plays[os.Args[1]]; play != nil {
			err = play(os.Args[2:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "intruder:", err)
		os.Exit(1)
	}
}

var plays map[string]func(args []string) error

func init() { // not at its declaration, because plays start others
	plays = map[string]func(args []string) error{
		"stage":        playStage,
		"sealed":       playSealed,
		"sealed relay": playSealedRelay,
		"kernel":       playKernel,
		"answer":       playAnswer,
		"call":         playCall,
		"calls":        playCalls,
		"denied":       playDenied,
		"alter":        playAlter,
		"memfd":        playMemfd,
		"exercise":     playExercise,
		"threads":      playThreads,
		"files":        playFiles,
		"net":          playNet,
		"regain":       playRegain,
		"ways":         playWays,
		"whoami":       playWhoami,
		"victim":       playVictim,
		"attack":       playAttack,
		"limits":       playLimits,
		"groups":       playGroups,
		"mounter":      playMounter,

		"terminals":      playTerminals,
		"in a namespace": playInNamespace,
	}
}

// playStage is a stage. Its arguments are the recipe, then the play and its arguments.
func playStage(args []string) error {
	runtime.LockOSThread()
	var r sandbox.Recipe
	if err := json.Unmarshal([]byte(args[0]), &r); err != nil {
		return err
	}
	r.Parent, r.KeepFD = os.Getppid(), 2
	if err := sandbox.Drop(r); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", append([]string{"intruder"}, args[1:]...), []string{})
}

// playSealed is the child. Its arguments are the parts, then the play. Other threads exist already.
func playSealed(args []string) error { return sealedBy(sandbox.Parts.Seal, args) }

// playSealedRelay is the relay.
func playSealedRelay(args []string) error { return sealedBy(sandbox.Parts.SealRelay, args) }

func sealedBy(seal func(sandbox.Parts) error, args []string) error {
	for range 3 {
		go func() {
			runtime.LockOSThread()
			select {}
		}()
	}
	parts, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := seal(sandbox.Parts(parts)); err != nil {
		return err
	}
	return plays[args[1]](args[2:])
}

// say prints the outcome of an attempt.
func say(name string, err error) {
	if err == nil {
		fmt.Println(name + ": ok")
		return
	}
	var e unix.Errno
	if errors.As(err, &e) {
		fmt.Println(name+":", unix.ErrnoName(e))
		return
	}
	fmt.Println(name+":", err)
}

// playWhoami prints the ids.
func playWhoami([]string) error {
	u0, u1, u2 := unix.Getresuid()
	g0, g1, g2 := unix.Getresgid()
	fmt.Println(u0, u1, u2, g0, g1, g2)
	return nil
}
