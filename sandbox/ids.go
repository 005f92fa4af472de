package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below are raw. The functions of package syscall would wait for all threads, some of
// which may be blocked. They would also change the ids of all threads, for which the exec is
// enough.

func setIdentity(r Recipe) error {
	if unix.Geteuid() == 0 {
		if r.Keeper != 0 {
			if err := inheritSetuid(); err != nil {
				return err
			}
		}
		if err := dropBoundingSet(); err != nil {
			return fmt.Errorf("empty the capability bounding set: %w", err)
		}
		groups := unsafe.Pointer(unsafe.SliceData(r.Groups))
		if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(r.Groups)), uintptr(groups), 0); e != 0 {
			return fmt.Errorf("set the supplementary groups to %v: %w", r.Groups, e)
		}
	}
	gid, uid := uintptr(r.GID), uintptr(r.UID)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return fmt.Errorf("setresgid to %d: %w", gid, e)
	}
	if r.Keeper != 0 {
		return keepSetuid(uid)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("setresuid to %d: %w", uid, e)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	// Leaving uid 0 has cleared the permitted and effective sets, unless SECBIT_NO_SETUID_FIXUP was
	// inherited. An ordinary user may have capabilities too. The inheritable set is never cleared
	// automatically (capabilities(7)).
	if err := setCaps(0); err != nil {
		return fmt.Errorf("clear the capabilities: %w", err)
	}
	return nil
}

// dropBoundingSet drops every capability that the kernel knows. Reading an unknown one returns
// EINVAL.
func dropBoundingSet() error {
	for c := range uintptr(64) {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return err
		}
		if has == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("capability %d: %w", c, err)
		}
	}
	return nil
}

// Capability sets are passed in two halves of 32 bits (capset(2)).
func capHeader() *unix.CapUserHeader {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

// setCaps sets all three sets of the thread to the given one.
func setCaps(set uint64) error {
	lo, hi := uint32(set), uint32(set>>32)
	data := [2]unix.CapUserData{
		{Effective: lo, Permitted: lo, Inheritable: lo},
		{Effective: hi, Permitted: hi, Inheritable: hi},
	}
	return unix.Capset(capHeader(), &data[0])
}

// Privileges returns an error, a *Lacking, if root lacks a capability. Root needs capabilities to
// become another user, to give up its own, and to end other users' processes.
func Privileges() error {
	if unix.Geteuid() != 0 {
		return nil
	}
	var lacks []string
	for _, c := range []struct {
		capability int
		name       string
	}{{unix.CAP_SETUID, "CAP_SETUID"}, {unix.CAP_SETGID, "CAP_SETGID"}, {unix.CAP_SETPCAP, "CAP_SETPCAP"}, {unix.CAP_KILL, "CAP_KILL"}} {
		if !has(c.capability) {
			lacks = append(lacks, c.name)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return &Lacking{fmt.Sprintf("cannot run programs as another user, for this root has no %s: give it these capabilities "+
		"(a container's option cap-add, a service's CapabilityBoundingSet), or start erluv as an ordinary user", strings.Join(lacks, ", "))}
}

// MayNamespace reports whether the caller can make a pid namespace.
func MayNamespace() bool { return has(unix.CAP_SYS_ADMIN) }

// has reports whether the capability is in the effective set of the calling thread.
func has(capability int) bool {
	var data [2]unix.CapUserData
	if unix.Capget(capHeader(), &data[0]) != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// prove tries to regain the privileges that were given up. Every attempt must fail: the kernel's
// report that ids were set is not enough. An id that is root's anyway is not tried. An ordinary
// user may have root's gid, as in some containers, and MayBeRoot allows both ids.
func prove(r Recipe) error {
	const keep = ^uintptr(0) // -1: leave this id as it is
	root := uint32(0)
	for _, try := range []struct {
		name       string
		trap       uintptr
		a1, a2, a3 uintptr
	}{
		{"setuid(0)", unix.SYS_SETUID, 0, 0, 0},
		{"setreuid(0, 0)", unix.SYS_SETREUID, 0, 0, 0},
		{"setresuid(0, 0, 0)", unix.SYS_SETRESUID, 0, 0, 0},
		{"seteuid(0)", unix.SYS_SETRESUID, keep, 0, keep},
		{"setgid(0)", unix.SYS_SETGID, 0, 0, 0},
		{"setregid(0, 0)", unix.SYS_SETREGID, 0, 0, 0},
		{"setresgid(0, 0, 0)", unix.SYS_SETRESGID, 0, 0, 0},
		{"setegid(0)", unix.SYS_SETRESGID, keep, 0, keep},
		{"setgroups({0})", unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&root)), 0},
		{"setgroups({})", unix.SYS_SETGROUPS, 0, 0, 0},
	} {
		if r.GID == 0 && strings.Contains(try.name, "gid") || r.UID == 0 && strings.Contains(try.name, "uid") {
			continue
		}
		if _, _, e := unix.RawSyscall(try.trap, try.a1, try.a2, try.a3); e == 0 {
			return fmt.Errorf("%s succeeded", try.name)
		}
	}
	for c := range 64 {
		if setCaps(1<<c) == nil && has(c) {
			return fmt.Errorf("capset of capability %d succeeded", c)
		}
	}
	return sameIDs(r.Identity)
}

// sameIDs compares all ids of the thread, those of the file system too, with the wanted ones.
func sameIDs(want Identity) error {
	u0, u1, u2 := unix.Getresuid()
	g0, g1, g2 := unix.Getresgid()
	// setfsuid(2) returns the previous id; -1 changes nothing.
	u3, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, ^uintptr(0), 0, 0)
	g3, _, _ := unix.RawSyscall(unix.SYS_SETFSGID, ^uintptr(0), 0, 0)
	u, g := int(want.UID), int(want.GID)
	if u0 != int(want.Owner()) || u1 != u || u2 != u || int(u3) != u {
		return fmt.Errorf("the uids are %d, %d, %d and %d instead of %d, for the first %d", u0, u1, u2, u3, u, want.Owner())
	}
	if g0 != g || g1 != g || g2 != g || int(g3) != g {
		return fmt.Errorf("the gids are %d, %d, %d and %d instead of %d", g0, g1, g2, g3, g)
	}
	return nil
}
