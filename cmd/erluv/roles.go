package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"

	"erluv/childproc"
	"erluv/config"
	"erluv/eintr"
	"erluv/ipc"
	"erluv/mainproc"
	"erluv/mainproc/crew"
	"erluv/relay"
	"erluv/spawner"
	"erluv/web"
	"erluv/wire/client"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// The roles that main starts: each is the first argument of the same binary, hidden, with a
// conversation on descriptor 3. The spawner starts the roles become and upload. The role become has
// its conversation on the descriptor that its argument names, and upload on its standard input and
// output.
const (
	roleStage   = "stage"
	roleChild   = "child"
	roleSpawner = "spawner"
	roleRelay   = "relay"
	roleBecome  = "become"
	roleUpload  = ipc.UploadRole

	// erluv web starts these two.
	rolePageStage = "page-stage"
	rolePage      = "page"
)

// A role runs on the first thread. The name of that thread is the process's, and the kernel reports
// the end of that thread to its children (prctl(2)).
func init() {
	if len(os.Args) > 1 && isRole(os.Args[1]) {
		runtime.LockOSThread()
	}
}

func isRole(name string) bool {
	return slices.Contains([]string{roleStage, roleChild, roleSpawner, roleRelay, roleBecome, roleUpload, rolePageStage, rolePage}, name)
}

// playRole runs a role and returns the exit status. If main has not started the process, there is
// no conversation, and the role refuses.
func playRole(role string, args []string) int {
	if of := map[string]func([]string) error{roleBecome: spawner.Exec, roleUpload: spawner.Upload}[role]; of != nil {
		if err := of(args); err != nil {
			complain(os.Stderr, err.Error())
			return statusUsage
		}
		return statusOK
	}
	var st unix.Stat_t
	if err := eintr.Fstat(3, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		complain(os.Stderr, role+" is a part of erluv that erluv itself starts: descriptor 3 is no socket")
		return statusUsage
	}
	var err error
	switch role {
	case roleStage:
		err = crew.Stage(args)
	case roleChild:
		if err = crew.Seal(args); err == nil {
			limitHeap()
			reserveThreads(waitOfChild)
			err = childproc.Main()
		}
	case roleSpawner:
		if err = crew.Settle(args); err == nil {
			limitHeap()
			reserveThreads(waitOfSpawner)
			err = spawner.Main()
		}
	case rolePageStage:
		err = pageStage(args)
	case rolePage:
		if err = sealPage(args); err == nil {
			limitHeap()
			err = web.Main()
		}
	case roleRelay:
		if err = crew.SealRelay(args); err == nil {
			limitHeap()
			reserveThreads(waitOfRelay)
			err = relay.Main()
		}
	}
	if err != nil {
		complain(os.Stderr, fmt.Sprintf("%s: %v", role, err))
		return exitStatus(err)
	}
	return statusOK
}

// serve is a variable for tests of the code around it.
var serve = func(ctx context.Context, cfg *config.Config, log *slog.Logger, up func()) error {
	limitHeap()
	reserveThreads(waitOfMain)
	return mainproc.Run(ctx, cfg, log, mainproc.Options{Version: versionText(), Up: up, Alone: true})
}

func ping(ctx context.Context, cfg *config.Config) ([]string, error) { return mainproc.Ping(ctx, cfg) }

// dial connects as a node that makes calls and leaves again.
func dial(ctx context.Context, cfg *config.Config, deliver func(etf.Term)) (*client.Client, func(), error) {
	return mainproc.Client(ctx, cfg, deliver)
}

func fits(cfg *config.Config) error { return mainproc.Fits(cfg) }

func listens(ctx context.Context, cfg *config.Config) (warnings []string, problem error) {
	return mainproc.Listens(ctx, cfg)
}

func exitStatus(err error) int { return mainproc.ExitStatus(err) }
