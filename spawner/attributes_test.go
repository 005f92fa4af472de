package spawner

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestAttributes: a program has the requested attributes, and otherwise those that the spawner was
// started with. That holds for a direct start and for the role become.
func TestAttributes(t *testing.T) {
	var own unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &own))
	cpu := 0
	for !own.IsSet(cpu) {
		cpu++
	}
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	must(t, err)
	nice := fmt.Sprint(20 - priority) // as getpriority(2) counts
	plain := inheritedFiles()
	oom, err := os.ReadFile("/proc/self/oom_score_adj")
	must(t, err)
	files := func(l unix.Rlimit) string {
		text := func(n uint64) string {
			if n == unix.RLIM_INFINITY {
				return "unlimited"
			}
			return fmt.Sprint(n)
		}
		return text(l.Cur) + " " + text(l.Max)
	}
	for name, c := range map[string]struct {
		script string
		a      ipc.Attributes
		want   string
	}{
		"nice":        {"nice", ipc.Attributes{SetNice: true, Nice: 19}, "19"},
		"no nice":     {"nice", ipc.Attributes{}, nice},
		"zero nice":   {"nice", ipc.Attributes{Nice: 5}, nice},
		"umask":       {"umask", ipc.Attributes{Umask: 0o127}, "0127"},
		"another":     {"umask", ipc.Attributes{Umask: 0o22}, "0022"},
		"files":       {"echo $(ulimit -Sn) $(ulimit -Hn)", ipc.Attributes{Rlimits: []ipc.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 50, Hard: 60}}}, "50 60"},
		"plain files": {"echo $(ulimit -Sn) $(ulimit -Hn)", ipc.Attributes{}, files(plain)},
		"both limits": {"echo $(ulimit -c) $(ulimit -n)", ipc.Attributes{Rlimits: []ipc.Rlimit{{Resource: unix.RLIMIT_CORE}, {Resource: unix.RLIMIT_NOFILE, Soft: 50, Hard: 60}}}, "0 50"},
		"a processor": {"sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status", ipc.Attributes{CPUs: []uint16{uint16(cpu)}}, fmt.Sprint(cpu)},
		"oom":         {"cat /proc/self/oom_score_adj", ipc.Attributes{SetOOM: true, OOMScoreAdj: 700}, "700"},
		"plain oom":   {"cat /proc/self/oom_score_adj", ipc.Attributes{}, strings.TrimSpace(string(oom))},
		"a session":   {"set -- $(cat /proc/$$/stat); [ $5 = $$ ] && [ $6 = $$ ] && echo of its own", ipc.Attributes{}, "of its own"},
		"no session":  {"set -- $(cat /proc/$$/stat); [ $5 = $$ ] && [ $6 != $$ ] && echo none", ipc.Attributes{NoSession: true}, "none"},
		"all":         {"nice; umask; ulimit -c", ipc.Attributes{SetNice: true, Nice: 18, Umask: 0o77, CPUs: []uint16{uint16(cpu)}, Rlimits: []ipc.Rlimit{{Resource: unix.RLIMIT_CORE}}}, "18\n0077\n0"},
		"a terminal":  {"tty <&0 >/dev/null && stty size <&0", ipc.Attributes{}, "7 11"},
		"environment": {"env | sort", ipc.Attributes{}, "A=1\nB=\nPWD=/"},
	} {
		for _, way := range []string{"directly", "by the role become"} {
			t.Run(name+" "+way, func(t *testing.T) {
				l := here(t)
				m := program("/bin/sh", "-c", c.script)
				m.Attributes, m.Env = c.a, []string{"A=1", "B="}
				if name == "a terminal" {
					m.Terminal, m.Streams[0].Source = &ipc.Terminal{Rows: 7, Cols: 11}, ipc.SourceTerminal
				}
				if way != "directly" {
					byTheRole(t, m)
				}
				if got := l.says(m); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			})
		}
	}
}
