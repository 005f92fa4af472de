package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// ErrEnded is Check's error for a process that has ended.
var ErrEnded = errors.New("it has ended")

// Check examines a child process of the caller from outside, by proc(5). It returns an error that
// names the first difference from a process that has dropped to want. It compares the parent and
// the binary, which must be the caller's own. On every thread it compares ids, groups,
// capabilities, no_new_privs and the number of system call filters. The filters of the caller
// itself are subtracted: a container may give all its processes some. The caller must not have
// waited for the process, or the pid may belong to another one.
//
// Landlock domains are invisible from outside. For these the stage's own proof must do.
//
// An ordinary user can clear neither groups nor the bounding set. Check examines these only when
// the caller is root.
func Check(pid int, want Identity, filters int) error {
	if err := check(pid, want, filters); err != nil {
		return fmt.Errorf("process %d is not confined: %w", pid, err)
	}
	return nil
}

func check(pid int, want Identity, filters int) error {
	if filters > 0 {
		ours, err := ownFilters()
		if err != nil {
			return err
		}
		filters += ours
	}
	dir := fmt.Sprintf("/proc/%d", pid)
	threads, err := os.ReadDir(dir + "/task")
	if err != nil {
		return orHidden(err, pid)
	}
	seen := 0
	for _, t := range threads {
		text, err := os.ReadFile(dir + "/task/" + t.Name() + "/status")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended since
		}
		if err != nil {
			return err
		}
		if err := checkThread(parseStatus(string(text)), want, filters, os.Geteuid() == 0); err != nil {
			return fmt.Errorf("thread %s: %w", t.Name(), err)
		}
		seen++
	}
	if seen == 0 {
		return ErrEnded
	}
	return checkExe(dir)
}

// orHidden adds the remedy to an error of a /proc that hides processes from an ordinary user
// (proc(5), hidepid). A role is undumpable, so such a /proc hides it. A role that cannot be
// examined must not be trusted.
func orHidden(err error, pid int) error {
	if unix.Geteuid() == 0 || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if unix.Kill(pid, 0) != nil {
		return err
	}
	return fmt.Errorf("%w: /proc hides it from uid %d: mount /proc without hidepid, or with gid= and a group of this user, or start erluv as root",
		err, unix.Geteuid())
}

// ownFilters counts the caller's own system call filters (Linux 5.9).
func ownFilters() (int, error) {
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(parseStatus(string(text))["Seccomp_filters"])
	if err != nil {
		return 0, errors.New("the kernel does not tell our own Seccomp_filters")
	}
	return n, nil
}

// checkThread compares a thread's status with the wanted one. If filters is 0, it ignores filters.
func checkThread(s status, want Identity, filters int, root bool) error {
	if strings.HasPrefix(s["State"], "Z") || strings.HasPrefix(s["State"], "X") {
		return ErrEnded
	}
	type field struct{ key, want string }
	owner, uid, gid := strconv.Itoa(int(want.Owner())), strconv.Itoa(int(want.UID)), strconv.Itoa(int(want.GID))
	const none = "0000000000000000"
	fields := []field{
		{"PPid", strconv.Itoa(os.Getpid())},
		{"Uid", strings.Join([]string{owner, uid, uid, uid}, "\t")},
		{"Gid", strings.Join([]string{gid, gid, gid, gid}, "\t")},
		{"NoNewPrivs", "1"},
		{"CapInh", none},
		{"CapPrm", none},
		{"CapEff", none},
		{"CapAmb", none},
	}
	if root {
		fields = append(fields, field{"CapBnd", none}, field{"Groups", strings.Trim(fmt.Sprint(want.Groups), "[]")})
	}
	if filters > 0 {
		fields = append(fields, field{"Seccomp", "2"}, field{"Seccomp_filters", strconv.Itoa(filters)}) // SECCOMP_MODE_FILTER
	}
	for _, f := range fields {
		got, ok := s[f.key]
		if !ok {
			return fmt.Errorf("the kernel does not tell its %s", f.key)
		}
		if got != f.want {
			return fmt.Errorf("%s is %q instead of %q", f.key, got, f.want)
		}
	}
	return nil
}

// checkExe compares the binary of the process with the caller's. A caller that may not trace the
// process cannot see it (proc(5)). That is an ordinary user when the process has called
// NotDumpable, or root without CAP_SYS_PTRACE, as in a container. Then the parent has to do: the
// caller started the process from its own binary.
func checkExe(dir string) error {
	var theirs, ours unix.Stat_t
	if err := eintr.Stat("/proc/self/exe", &ours); err != nil {
		return fmt.Errorf("/proc/self/exe: %w", err)
	}
	err := eintr.Stat(dir+"/exe", &theirs)
	if errors.Is(err, unix.EACCES) && !has(unix.CAP_SYS_PTRACE) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s/exe: %w", dir, err)
	}
	if theirs.Dev != ours.Dev || theirs.Ino != ours.Ino {
		return errors.New("it runs another program")
	}
	return nil
}

// status holds the lines of /proc/PID/status.
type status map[string]string

func parseStatus(text string) status {
	s := status{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			s[key] = strings.TrimSpace(value)
		}
	}
	return s
}
