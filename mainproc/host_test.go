package mainproc

import (
	"strings"
	"testing"
	"time"

	"erluv/config"
	"erluv/ipc"

	"github.com/google/go-cmp/cmp"
)

// TestHostOf: the child gets what the configuration says of this machine.
func TestHostOf(t *testing.T) {
	h, err := hostOf(&config.Config{
		Meta: "b ; c=1 ,a", Run: config.RunClasses, Disks: []string{"/"}, MaxKillTimeout: 3 * time.Second, Limits: config.Limits{Memory: 5, CPU: 6},
		Classes: []config.Class{
			{Name: "x", Command: []string{"/x"}, Cd: "/"},
			{
				Name: "y", Command: []string{"/y", "z"}, Args: []string{"a+"}, Cd: "/y", Env: []string{"A=1"}, Allowed: 2, Max: 7, Limits: config.Limits{PIDs: 8},
				Sandbox: &config.ClassSandbox{Read: []string{"/r"}, Connect: []uint16{80}},
			},
			{Name: "z", Command: []string{"/z"}, Cd: "/", Sandbox: &config.ClassSandbox{Net: "none"}},
		},
	})
	want := ipc.Host{
		Standing: ipc.Standing{Meta: "b;c=1, a"}, OnlyClasses: true, MaxKillTimeoutMS: 3000, Limits: ipc.Limits{Memory: 5, CPU: 6}, Disks: []string{"/"},
		Classes: []ipc.Class{
			{Name: "x", Command: []string{"/x"}, Dir: "/"},
			{
				Name: "y", Command: []string{"/y", "z"}, Args: []string{"a+"}, User: 2, Dir: "/y", Env: []string{"A=1"}, Max: 7, Limits: ipc.Limits{PIDs: 8},
				Confine: ipc.Confine{Files: true, Read: []string{"/r"}, Ports: true, Connect: []uint16{80}},
			},
			{Name: "z", Command: []string{"/z"}, Dir: "/", Confine: ipc.Confine{Ports: true}},
		},
	}
	if diff := cmp.Diff(want, h); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestHostsThatCannotBe: a host that does not fit into a packet, with labels that can grow, is
// refused at the start.
func TestHostsThatCannotBe(t *testing.T) {
	large := config.Class{Name: "x", Command: []string{"/x", strings.Repeat("a", 57<<10)}, Cd: "/"}
	if _, err := hostOf(&config.Config{Classes: []config.Class{large}}); err == nil || !strings.Contains(err.Error(), "name fewer") {
		t.Errorf("%v", err)
	}
	if _, err := hostOf(&config.Config{Meta: ";"}); err == nil || !strings.Contains(err.Error(), "cannot claim the labels") {
		t.Errorf("%v", err)
	}
	large.Command[1] = large.Command[1][:50<<10]
	if _, err := hostOf(&config.Config{Classes: []config.Class{large}}); err != nil {
		t.Error(err)
	}
}
