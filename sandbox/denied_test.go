//go:build amd64 || arm64

package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// verdict runs a filter on a call, by the rules of seccomp(2) and bpf(2).
func verdict(t *testing.T, filter *unix.SockFprog, arch, call uint32, args ...uint64) uint32 {
	t.Helper()
	var data [64]uint32
	data[0], data[1] = call, arch
	for i, a := range args {
		data[4+2*i], data[5+2*i] = uint32(a), uint32(a>>32)
	}
	code := unsafe.Slice(filter.Filter, filter.Len)
	var acc uint32
	for at := 0; at < len(code); at++ {
		ins := code[at]
		jump := func(ok bool) {
			if ok {
				at += int(ins.Jt)
			} else {
				at += int(ins.Jf)
			}
		}
		switch ins.Code {
		case opLoad:
			acc = data[ins.K/4]
		case opAnd:
			acc &= ins.K
		case opEqual:
			jump(acc == ins.K)
		case opAbove:
			jump(acc >= ins.K)
		case opJump:
			at += int(ins.K)
		case opReturn:
			return ins.K
		default:
			t.Fatalf("instruction %#x", ins.Code)
		}
	}
	t.Fatal("a filter without an end")
	return 0
}

func filterOf(t *testing.T, d Denials) *unix.SockFprog {
	t.Helper()
	f, err := d.Filter()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestDenials: each call of each group is denied, by the numbers of both architectures. It passes
// when its group is allowed. Calls that no group names always pass.
func TestDenials(t *testing.T) {
	// Arguments with which a call is denied; it passes with others.
	bad := map[string][]uint64{
		"clone": {unix.CLONE_NEWUSER}, "unshare": {unix.CLONE_NEWNET}, "ioctl": {0, unix.TIOCSTI}, "personality": {0x400000},
	}
	names := slices.Sorted(maps.Keys(groups))
	for _, group := range append([]string{""}, names...) {
		list, allowed := groups[group], []string{group}
		if group == "" {
			list, allowed = privileged, nil
		}
		ordinary, with := filterOf(t, Denials{Ordinary: true}), filterOf(t, Denials{Ordinary: true, Allow: allowed})
		for _, d := range list {
			for name := range strings.FieldsSeq(d.calls) {
				n, ok := numbers[name]
				if !ok || n.native == 0 && n.compat == 0 {
					t.Errorf("%s has no number", name)
				}
				for arch, call := range map[uint32]uint32{auditArch: n.native, compatArch: n.compat} {
					if call == 0 {
						continue
					}
					if got := verdict(t, ordinary, arch, call, bad[name]...); got != d.do {
						t.Errorf("%s (%d of %#x): %#x, want %#x", name, call, arch, got, d.do)
					}
					want := uint32(allow)
					if group == "" {
						want = d.do
					}
					if got := verdict(t, with, arch, call, bad[name]...); got != want {
						t.Errorf("%s (%d of %#x) with allow %q: %#x, want %#x", name, call, arch, allowed, got, want)
					}
				}
			}
		}
	}
}

// TestDenialsPass: the calls of ordinary programs pass.
func TestDenialsPass(t *testing.T) {
	f := filterOf(t, Denials{Ordinary: true, Fork: 1<<40 + 5, Owned: true, Flags: true, Memfds: true, Net: true, Connect: true})
	for name, tt := range map[string]struct {
		call uint32
		args []uint64
		want uint32
	}{
		"a thread":            {unix.SYS_CLONE, []uint64{goThread}, allow},
		"a fork":              {unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, allow},
		"high bits":           {unix.SYS_CLONE, []uint64{1<<32 | unix.CLONE_NEWUSER}, deny},
		"a table of its own":  {unix.SYS_UNSHARE, []uint64{unix.CLONE_FILES | unix.CLONE_FS}, allow},
		"a time namespace":    {unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWTIME}, deny},
		"clone3":              {unix.SYS_CLONE3, []uint64{1, 88, 5}, unmet},
		"clone3, low half":    {unix.SYS_CLONE3, []uint64{1, 88, 1<<41 + 5}, unmet},
		"clone3, the word":    {unix.SYS_CLONE3, []uint64{1, 88, 1<<40 + 5}, allow},
		"setarch -R":          {unix.SYS_PERSONALITY, []uint64{0x40000}, allow},
		"what personality":    {unix.SYS_PERSONALITY, []uint64{0xFFFFFFFF}, allow},
		"executable data":     {unix.SYS_PERSONALITY, []uint64{0x440000}, deny},
		"terminal size":       {unix.SYS_IOCTL, []uint64{0, unix.TIOCGWINSZ}, allow},
		"typing":              {unix.SYS_IOCTL, []uint64{0, 1<<32 | unix.TIOCSTI}, deny},
		"flags of a file":     {unix.SYS_IOCTL, []uint64{0, 0x40086602}, deny},
		"read":                {unix.SYS_READ, nil, allow},
		"trace":               {unix.SYS_PTRACE, nil, allow},
		"mode of descriptor":  {unix.SYS_FCHMOD, []uint64{3, 0o600}, deny},
		"a memfd":             {unix.SYS_MEMFD_CREATE, []uint64{1, 1}, deny},
		"a sealed memfd":      {unix.SYS_MEMFD_CREATE, []uint64{1, 1 | noExecSeal}, allow},
		"a local socket":      {unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, allow},
		"TCP":                 {unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, allow},
		"UDP":                 {unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM}, refused},
		"listen":              {unix.SYS_LISTEN, []uint64{3, 1}, refused},
		"send":                {unix.SYS_SENDTO, []uint64{3, 1, 1, unix.MSG_NOSIGNAL}, allow},
		"send and connect":    {unix.SYS_SENDTO, []uint64{3, 1, 1, unix.MSG_FASTOPEN}, deny},
		"send and connect, 2": {unix.SYS_SENDMSG, []uint64{3, 1, unix.MSG_FASTOPEN}, deny},
	} {
		if got := verdict(t, f, auditArch, tt.call, tt.args...); got != tt.want {
			t.Errorf("%s: %#x, want %#x", name, got, tt.want)
		}
	}
	if foreign != 0 {
		if got := verdict(t, f, auditArch, foreign|unix.SYS_READ); got != unmet {
			t.Errorf("by other numbers: %#x", got)
		}
	}
	if got := verdict(t, f, 0x1234, unix.SYS_READ); got != unmet {
		t.Errorf("of a third architecture: %#x", got)
	}
	if _, err := (Denials{Ordinary: true, Allow: []string{"nothing"}}).Filter(); err == nil {
		t.Error("an unknown group is allowed")
	}
	// io_uring can do everything that these forbid. They deny it even if Allow names it.
	for _, d := range []Denials{{Owned: true}, {Flags: true}, {Net: true}} {
		d.Ordinary, d.Allow = true, []string{"io_uring"}
		if got := verdict(t, filterOf(t, d), auditArch, unix.SYS_IO_URING_SETUP); got != unmet {
			t.Errorf("%+v: io_uring: %#x", d, got)
		}
	}
}

// TestDeniedByTheKernel: the kernel takes the filters and enforces them.
func TestDeniedByTheKernel(t *testing.T) {
	if !here(t).Has(Seccomp) {
		return // this kernel has no filters
	}
	made, err := os.CreateTemp("", "erluv-denied-") // where the target can reach it
	if err != nil {
		t.Fatal(err)
	}
	file := made.Name()
	defer os.Remove(file)
	defer made.Close()
	if os.Geteuid() == 0 {
		if err := os.Chown(file, int(target().UID), int(target().GID)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(d Denials, args ...string) map[string]string {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := inStage(t, Recipe{}, append([]string{"denied", string(text)}, args...)...)
		return said
	}
	for _, d := range []Denials{{Owned: true}, {Flags: true}, {Owned: true, Flags: true}} {
		said := run(d, "alter", file)
		if len(said) < 23 {
			t.Errorf("only %v", said)
		}
		for attempt, outcome := range said {
			denied := d.Owned
			if attempt == "file_setattr" || strings.Contains(attempt, "_IOC_") {
				denied = d.Flags
			}
			if (outcome == "EPERM") != denied {
				t.Errorf("%+v: %s: %s", d, attempt, outcome)
			}
		}
	}
	wantAll(t, run(Denials{Memfds: true}, "memfd", "/bin/true"), map[string]string{"plain": "EPERM", "executable": "EPERM", "data": "ok"})
	wantAll(t, run(Denials{}, "memfd", "/bin/true"), map[string]string{"plain": "ok", "executable": "ok", "data": "ok"})
	calls := []string{"calls", fmt.Sprintf("io_uring:%d:0,0", unix.SYS_IO_URING_SETUP), fmt.Sprintf("keyctl:%d:0", unix.SYS_KEYCTL)}
	wantAll(t, run(Denials{Ordinary: true}, calls...), map[string]string{"io_uring": "ENOSYS", "keyctl": "EPERM"})
	if got := run(Denials{Ordinary: true, Allow: []string{"io_uring", "keyctl"}}, calls...); got["keyctl"] == "EPERM" || got["io_uring"] == "ENOSYS" {
		t.Errorf("allowed: %v", got)
	}
}
