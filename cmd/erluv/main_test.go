package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"erluv/config"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// quickExit saves the second that the race detector waits for at the end.
const quickExit = "GORACE=atexit_sleep_ms=0"

// The test binary is erluv too. Its user's home directory is $HOME, and $TEST_SERVE selects its way
// of serving.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"erluv": func() {
		withCgo = false // set with -race
		machine = func() config.Machine {
			m := config.ThisMachine()
			m.Home = os.Getenv("HOME")
			m.Hostname = func() (string, error) { return "vm", nil }
			m.Canonical = func(string) (string, error) { return "", errors.New("this machine (vm) has no domain") }
			return m
		}
		if how := os.Getenv("TEST_SERVE"); how != "" {
			serve = func(ctx context.Context, cfg *config.Config, log *slog.Logger, up func()) error {
				return pretend(ctx, how, cfg, log, up)
			}
		}
		main()
	}})
}

// pretend serves nothing. It writes its arguments to the file $TEST_STATE, and ends as how says.
func pretend(ctx context.Context, how string, cfg *config.Config, log *slog.Logger, up func()) error {
	switch how {
	case "fails":
		return fmt.Errorf("cannot serve %s", cfg.Node)
	case "dies":
		return unix.Kill(os.Getpid(), unix.SIGKILL)
	case "starts":
		up = func() {} // never up
	}
	cwd, _ := os.Getwd()
	sid, _ := unix.Getsid(0)
	stdin, _ := os.Readlink("/proc/self/fd/0")
	stderr, _ := os.Readlink("/proc/self/fd/2")
	fds, _ := os.ReadDir("/proc/self/fd")
	state := fmt.Sprintf("pid=%d\nsid=%d\ncwd=%s\nstdin=%s\nstderr=%s\nnode=%s\ncookie=%s\nfds=%d\n",
		os.Getpid(), sid, cwd, stdin, stderr, cfg.Node, string(cfg.Cookie), len(fds))
	if err := os.WriteFile(os.Getenv("TEST_STATE"), []byte(state), 0o600); err != nil {
		return err
	}
	up()
	log.Info("serving")
	<-ctx.Done()
	return nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, quickExit)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
	})
}

// exits runs a command that must end with a status: exits 2 erluv run. The files stdout and stderr
// are compared with its output as usual.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s ends with status %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}
