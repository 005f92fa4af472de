package erluv_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// interruptible are the functions of unix and syscall that may return EINTR, by signal(7). They
// include all functions that look up or change files, since on FUSE any of these can. close(2) must
// not be repeated. The operations F_ and D_ of fcntl(2) never wait here.
var interruptible = words(`
	Accept Accept4 Access Bind Chdir Chmod Chown Connect Creat Dup2 Dup3 EpollWait EpollPwait Faccessat Faccessat2
	Fallocate Fchdir Fchmod Fchmodat Fchown Fchownat Fdatasync Fgetxattr Flock Fsetxattr Fstat Fstatat Fstatfs Fsync
	Ftruncate Futex Getdents Getrandom Getxattr InotifyAddWatch Lchown Link Linkat Lstat Mkdir Mkdirat Mknod Mknodat
	Mount Nanosleep Open Openat Openat2 Poll Ppoll Pread Preadv Pselect Pwrite Pwritev Read ReadDirent Readlink
	Readlinkat Readv Recvfrom Recvmsg RecvmsgBuffers Rename Renameat Renameat2 Rmdir Select Sendfile Sendmsg SendmsgN
	Sendto Setxattr Splice Stat Statfs Statx Symlink Symlinkat Tee Truncate Unlink Unlinkat Unmount Utimes UtimesNano
	UtimesNanoAt Vmsplice Wait4 Waitid Write Writev`)

// interruptibleCalls are the same as numbers of system calls, and as operations of ioctl(2).
var interruptibleCalls = words(`
	SYS_ACCEPT4 SYS_CONNECT SYS_EPOLL_WAIT SYS_EPOLL_PWAIT SYS_FUTEX SYS_OPEN SYS_OPENAT SYS_OPENAT2 SYS_PPOLL SYS_READ
	SYS_READV SYS_RECVMSG SYS_SENDMSG SYS_WAIT4 SYS_WAITID SYS_WRITE SYS_WRITEV TIOCGPTPEER TCSBRK`)

func words(text string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(text) {
		set[w] = true
	}
	return set
}

// TestInterruptedCallsAreRepeated: each call that can return EINTR comes from the package eintr, or
// is in a function that checks for EINTR.
func TestInterruptedCallsAreRepeated(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch path {
			case "build", "test", "bench", "tools", "elixir", "erlang", "eintr":
				return filepath.SkipDir
			}
			if d.Name() == "testdata" || path != "." && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files++
			for _, bad := range interrupted(t, path) {
				t.Errorf("%s may be interrupted by a signal: take it from the package eintr", bad)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

// interrupted returns the calls of a file that are not repeated.
func interrupted(t *testing.T, path string) (bad []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		var found []string
		handled := false
		ast.Inspect(f, func(n ast.Node) bool {
			name := systemName(n)
			call, isCall := n.(*ast.CallExpr)
			handled = handled || name == "EINTR"
			if interruptible[name] {
				found = append(found, set.Position(n.Pos()).String()+": "+name)
			}
			if isCall && strings.Contains(systemName(call.Fun), "Syscall") {
				for _, arg := range call.Args {
					if number := systemName(arg); interruptibleCalls[number] {
						found = append(found, set.Position(arg.Pos()).String()+": "+number)
					}
				}
			}
			return true
		})
		if !handled && !doIn(f) {
			bad = append(bad, found...)
		}
	}
	return bad
}

// systemName returns the name X of unix.X or syscall.X, or "".
func systemName(n ast.Node) string {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := s.X.(*ast.Ident); !ok || pkg.Name != "unix" && pkg.Name != "syscall" {
		return ""
	}
	return s.Sel.Name
}

// doIn reports whether a function repeats a call with eintr.Do.
func doIn(f *ast.FuncDecl) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			pkg, ok := s.X.(*ast.Ident)
			found = found || ok && pkg.Name == "eintr" && s.Sel.Name == "Do"
		}
		return true
	})
	return found
}
