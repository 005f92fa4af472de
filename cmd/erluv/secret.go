package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"erluv/config"

	"golang.org/x/sys/unix"
)

// /proc/PID/cmdline and environ show the arguments and the environment of a process at its start,
// even if it changes them later. So an erluv that finds a secret there becomes a new erluv without
// it. It passes the secret on in a memfd that no process can change any more. The memfd also has
// the secret's source, so that priorities and warnings stay the same.

// handedOver is the content of the memfd.
type handedOver struct {
	Args    map[string]string // by the name of the key
	Environ []string          // NAME=value
}

// maxHandover bounds its size. Two cookies have 510 characters. A cookie that is too long must
// still fit, so that erluv refuses it as a cookie.
const maxHandover = 1 << 20

const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// hideSecrets takes over secrets from a handover. Otherwise, if there are visible secrets, it
// becomes a new process and does not return. The argument rest has the words after the settings.
func (c *command) hideSecrets(name string, rest ...string) error {
	if c.handover != "" {
		return c.takeOver()
	}
	if _, found := c.secrets(); !found || len(c.twice) > 0 { // twice: load refuses
		return nil
	}
	f, err := c.seal()
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		return fmt.Errorf("cannot hand the cookie over: %w", os.NewSyscallError("fcntl", err))
	}
	argv := append(c.argv(name), fmt.Sprintf("--%s=%d", handoverFlag, f.Fd()))
	argv = append(argv, rest...)
	err = syscall.Exec(self(), argv, c.cleanEnviron())
	return fmt.Errorf("cannot start anew without the cookie: %w", err)
}

// secrets returns all secrets of the command line and the environment.
func (c *command) secrets() (secrets handedOver, found bool) {
	secrets.Args = make(map[string]string)
	environ := append(os.Environ(), c.environ...)
	for _, key := range config.Keys() {
		if !key.Secret {
			continue
		}
		if v, ok := c.given[key.Name]; ok {
			secrets.Args[key.Name] = v
		}
		for _, variable := range environ {
			if strings.HasPrefix(variable, key.Env()+"=") {
				secrets.Environ = append(secrets.Environ, variable)
			}
		}
	}
	return secrets, len(secrets.Args)+len(secrets.Environ) > 0
}

// argv returns the command line without secrets and internal flags.
func (c *command) argv(name string) []string {
	argv := []string{os.Args[0], name}
	if v, ok := c.given[config.FileKey]; ok {
		argv = append(argv, "--"+config.FileKey+"="+v)
	}
	for _, key := range config.Keys() {
		if v, ok := c.given[key.Name]; ok && !key.Secret {
			argv = append(argv, "--"+key.Flag()+"="+v)
		}
	}
	return argv
}

func (c *command) cleanEnviron() []string {
	secrets, _ := c.secrets()
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return slices.Contains(secrets.Environ, v) })
}

// seal returns a memfd with the secrets, at its beginning.
func (c *command) seal() (*os.File, error) {
	secrets, _ := c.secrets()
	content, err := json.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("erluv", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("cannot hide the cookie: %w", os.NewSyscallError("memfd_create", err))
	}
	f := os.NewFile(uintptr(fd), "secrets")
	if _, err := f.WriteAt(content, 0); err != nil {
		return nil, fmt.Errorf("cannot hide the cookie: %w", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("cannot seal the cookie: %w", os.NewSyscallError("fcntl", err))
	}
	return f, nil
}

var errHandover = usageError{errors.New("--" + handoverFlag + " is for erluv itself")}

// takeOver reads the secrets that seal has written, and closes the memfd. It refuses any other
// descriptor before reading it.
func (c *command) takeOver() error {
	fd, err := strconv.Atoi(c.handover)
	if err != nil || fd < 3 {
		return errHandover
	}
	if got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || got != seals {
		return errHandover
	}
	f := os.NewFile(uintptr(fd), "secrets")
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, 0, maxHandover+1))
	if err != nil || len(content) > maxHandover {
		return errHandover
	}
	var secrets handedOver
	if err := json.Unmarshal(content, &secrets); err != nil {
		return errHandover // not err, which may repeat some of the content
	}
	for key, v := range secrets.Args {
		c.given[key] = v
	}
	c.environ = secrets.Environ
	return nil
}

// self returns the path of this process's file, so that ps shows it. If another file has that path
// now, self returns the path in /proc.
func self() string {
	const exe = "/proc/self/exe"
	path, err := os.Executable()
	if err != nil {
		return exe
	}
	there, err := os.Stat(path)
	if err != nil {
		return exe
	}
	if we, err := os.Stat(exe); err != nil || !os.SameFile(there, we) {
		return exe
	}
	return path
}
