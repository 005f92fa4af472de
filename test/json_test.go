package e2e

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// These are the rows and objects that several commands print as JSON. Decoding refuses unknown keys. A
// key that erluv adds must be added here, and to the manual that lists it.
type (
	// programOutput is a program of ps and top.
	programOutput struct {
		Worker   string   `json:"worker"`
		Name     *string  `json:"name"`
		Command  []string `json:"command"`
		State    string   `json:"state"`
		User     string   `json:"user"`
		OsPid    *int     `json:"os_pid"`
		Started  *int64   `json:"started"`
		Restarts int      `json:"restarts"`
		CPU      *int64   `json:"cpu"`
		Memory   *int64   `json:"memory"`
		Ended    *int64   `json:"ended"`
		Cause    *string  `json:"cause"`
		Exit     *exit    `json:"exit"`
	}

	// exit is the end of a program, for ps, info and stop.
	exit struct {
		Status *int   `json:"exit_status"`
		Signal string `json:"signal"`
		How    string `json:"how"`
	}

	// infoOutput is an erluv: the keys of the request info in erluv-protocol(7).
	infoOutput struct {
		Node         string  `json:"node"`
		Target       *string `json:"target"`
		Version      string  `json:"version"`
		Status       string  `json:"status"`
		User         string  `json:"user"`
		UID          int     `json:"uid"`
		GID          int     `json:"gid"`
		MainOsPid    int     `json:"main_os_pid"`
		ChildOsPid   int     `json:"child_os_pid"`
		SpawnerOsPid int     `json:"spawner_os_pid"`
		AllowUsers   []struct {
			User         string   `json:"user"`
			UID          int      `json:"uid"`
			Group        string   `json:"group"`
			GID          int      `json:"gid"`
			Groups       []string `json:"groups"`
			SpawnerOsPid *int     `json:"spawner_os_pid"`
		} `json:"allow_users"`
		Connections []struct {
			Node      string  `json:"node"`
			State     string  `json:"state"`
			Direction string  `json:"direction"`
			Transport string  `json:"transport"`
			Since     int64   `json:"since"`
			Links     int     `json:"links"`
			Monitors  int     `json:"monitors"`
			Workers   int     `json:"workers"`
			Sent      int64   `json:"sent"`
			Received  int64   `json:"received"`
			Error     *string `json:"error"`
		} `json:"connections"`
		Cookie        string `json:"cookie"`
		Controller    string `json:"controller"`
		Contained     string `json:"contained"`
		Reach         string `json:"reach"`
		Groups        string `json:"groups"`
		Uptime        int64  `json:"uptime"`
		Workers       int    `json:"workers"`
		MaxWorkers    int    `json:"max_workers"`
		RefusedFrames int    `json:"refused_frames"`
		Sandbox       struct {
			Mode         string `json:"mode"`
			Seccomp      bool   `json:"seccomp"`
			Files        bool   `json:"files"`
			Ports        bool   `json:"ports"`
			Scope        bool   `json:"scope"`
			NoNewPrivs   bool   `json:"no_new_privs"`
			Capabilities bool   `json:"capabilities"`
			Dumpable     bool   `json:"dumpable"`
		} `json:"sandbox"`
		Limits struct {
			Memory bool `json:"memory"`
			PIDs   bool `json:"pids"`
			CPU    bool `json:"cpu"`
		} `json:"limits"`
		Meta    string   `json:"meta"`
		Run     string   `json:"run"`
		Classes []string `json:"classes"`
		Caps    struct {
			KillTimeout *int64 `json:"kill_timeout"`
			Memory      *int64 `json:"memory"`
			PIDs        *int64 `json:"pids"`
			CPU         *int64 `json:"cpu"`
		} `json:"caps"`
		Load *struct {
			Avg1  float64 `json:"avg1"`
			Avg5  float64 `json:"avg5"`
			Avg15 float64 `json:"avg15"`
			CPUs  int     `json:"cpus"`
		} `json:"load"`
		Memory *struct {
			Total     int64  `json:"total"`
			Available int64  `json:"available"`
			Limit     *int64 `json:"limit"`
		} `json:"memory"`
		Disks []struct {
			Path      string `json:"path"`
			Total     *int64 `json:"total"`
			Available *int64 `json:"available"`
		} `json:"disks"`
	}

	// workerOutput is a program of info: the keys of the call info in erluv-protocol(7).
	workerOutput struct {
		OsPid    int             `json:"os_pid"`
		Cmd      []string        `json:"cmd"`
		User     string          `json:"user"`
		State    string          `json:"state"`
		Started  *int64          `json:"started"`
		Restarts int             `json:"restarts"`
		ID       string          `json:"id"`
		Class    string          `json:"class"`
		Caller   string          `json:"caller"`
		Ready    *bool           `json:"ready"`
		Status   string          `json:"status"`
		Name     json.RawMessage `json:"name"` // a text, or [] without a name
		Owner    string          `json:"owner"`
		Detached bool            `json:"detached"`
		Lost     json.RawMessage `json:"lost"` // false, or an object
		Restart  string          `json:"restart"`
		Packet   json.RawMessage `json:"packet"`
		Active   json.RawMessage `json:"active"`
		CPU      *int64          `json:"cpu"`
		RSS      *int64          `json:"rss"`
		Cgroup   struct {
			Memory     *int64 `json:"memory"`
			MemoryPeak *int64 `json:"memory_peak"`
			OOMKills   *int64 `json:"oom_kills"`
			PIDs       *int64 `json:"pids"`
			CPU        *int64 `json:"cpu"`
		} `json:"cgroup"`
		Stdin  streamOutput            `json:"stdin"`
		Stdout streamOutput            `json:"stdout"`
		Stderr streamOutput            `json:"stderr"`
		FDs    map[string]streamOutput `json:"fds"`
	}

	streamOutput struct {
		Open    bool            `json:"open"`
		Bytes   int64           `json:"bytes"`
		Waiting *int64          `json:"waiting"`
		Held    json.RawMessage `json:"held"` // false, or an object
	}

	// endOutput is an ended program of info: the keys of {info, history} in erluv-protocol(7).
	endOutput struct {
		Worker     string          `json:"worker"`
		Name       json.RawMessage `json:"name"`
		Cmd        []string        `json:"cmd"`
		User       string          `json:"user"`
		OsPid      int             `json:"os_pid"`
		Started    int64           `json:"started"`
		Ended      int64           `json:"ended"`
		Cause      string          `json:"cause"`
		Exit       *exit           `json:"exit"`
		Restarts   int             `json:"restarts"`
		CPU        *int64          `json:"cpu"`
		MemoryPeak *int64          `json:"memory_peak"`
		LastOutput *string         `json:"last_output"`
	}
)

// Each command says the same by the control socket, by --at and by --node, as JSON with the promised
// keys. The commands that change something run in the order of the ways.
//
//erluv:users
func TestOperatorBySeveralWays(t *testing.T) {
	n := newNode(t, nodeOptions{})
	socket := filepath.Join(n.home, "c.sock")
	n.env = append(n.env, "ERLUV_CONTROL="+socket)
	e := listening(t, n)
	n.eval(t, e.binds().String()+`Start = fun(Cmd, Name) -> {ok, W} = e2e:call(E, {spawn, Cmd, #{name => Name, owner => none, link => false, keep => true, restart => transient}}), W end,
		R = monitor(process, Start("echo said; exit 0", over)), receive {'DOWN', R, process, _, _} -> ok after 60000 -> error(runs) end,
		[Start("echo one; echo two >&2; exec sleep 1000", N) || N <- [web, stop_control, stop_at, stop_node]], ok`)
	if !until(startTime, func() bool { return done(t, socket, "logs", "web", "--stderr") == "two\n" }) {
		t.Fatal("web has no output")
	}

	ways := []struct {
		name string
		run  func(args ...string) string
	}{
		{"control", func(args ...string) string { return done(t, socket, args...) }},
		{"at", func(args ...string) string { return n.does(t, append(args, "--at", e.erluv)...) }},
		{"node", func(args ...string) string { return n.does(t, append(args, "--node", n.name)...) }},
	}
	first := map[string]any{}
	for _, w := range ways {
		// same checks an answer without its changing values.
		same := func(command string, object any) {
			t.Helper()
			if before, known := first[command]; !known {
				first[command] = object
			} else if !reflect.DeepEqual(object, before) {
				t.Errorf("%s by %s is\n%+v, not\n%+v", command, w.name, object, before)
			}
		}
		for _, command := range []string{"ps", "ps -a"} {
			list := one[psOutput](t, w.run(append(strings.Fields(command), "--format", "json")...))
			list.Programs = slices.DeleteFunc(list.Programs, func(p programOutput) bool { return p.Name != nil && strings.HasPrefix(*p.Name, "stop_") })
			for i := range list.Programs {
				list.Programs[i].CPU, list.Programs[i].Memory = nil, nil
			}
			same(command, list)
		}
		info := one[infoOutput](t, w.run("info", "--format", "json"))
		if info.Uptime <= 0 || len(info.Connections) == 0 || info.Load == nil || info.Memory == nil {
			t.Errorf("%+v", info)
		}
		// These change, or are about the way itself.
		info.Uptime, info.Connections, info.Load, info.Memory, info.Disks, info.Workers, info.Target = 0, nil, nil, nil, nil, 0, nil
		same("info", info)
		worker := one[workerOutput](t, w.run("info", "web", "--format", "json"))
		worker.CPU, worker.RSS = nil, nil
		worker.Cgroup.Memory, worker.Cgroup.MemoryPeak, worker.Cgroup.CPU = nil, nil, nil
		same("info web", worker)
		end := one[endOutput](t, w.run("info", "over", "--format", "json"))
		if end.Exit == nil || end.Exit.Status == nil || end.LastOutput == nil || *end.LastOutput != "said\n" {
			t.Errorf("%+v", end)
		}
		same("info over", end)
		lines := objects[logLine](t, w.run("logs", "web", "--format", "json"))
		for i := range lines {
			if (lines[i].Node == e.erluv) != (w.name == "node") {
				t.Errorf("%+v", lines[i])
			}
			lines[i].Node = ""
		}
		same("logs", lines)
		same("logs -n", w.run("logs", "-n", "1", "--stderr", "web"))
		same("logs of an end", w.run("logs", "over"))
		same("logs -f of an end", w.run("logs", "-f", "over"))
		top := one[topOutput](t, w.run("top", "--once", "--format", "json", "-o", "name"))
		if len(top.Roles) != 3 || top.Nodes == 0 || top.Total != len(top.Programs) {
			t.Errorf("%+v", top)
		}
		i := slices.IndexFunc(top.Programs, func(p topProgram) bool { return p.Name != nil && *p.Name == "web" })
		if i < 0 || top.Programs[i].Output != int64(len("one\ntwo\n")) {
			t.Fatalf("%+v", top)
		}
		same("top", []any{top.Node, top.Status, top.MaxWorkers, top.Crashes, top.Programs[i].Worker, top.Programs[i].Output, *top.Programs[i].OsPid})
		same("status", one[statusOutput](t, w.run("status", "--format", "json")))
		same("signal", one[signalOutput](t, w.run("signal", "web", "CONT", "--format", "json")))
		stopped := one[stopOutput](t, w.run("stop", "stop_"+w.name, "--format", "json"))
		if (stopped.Node != "") != (w.name == "node") {
			t.Errorf("%+v", stopped)
		}
		stopped.Node = ""
		same("stop", stopped)
	}
	for _, w := range ways {
		if got := one[drainOutput](t, w.run("drain", "--format", "json")); got.Node != e.erluv || len(got.Killed) != 0 {
			t.Errorf("%+v", got)
		}
		if got := one[statusOutput](t, w.run("status", "set", "ready", "--format", "json")); got != (statusOutput{e.erluv, "ready"}) {
			t.Errorf("%+v", got)
		}
	}
}

// callOutput is a node of erluv call --json, and namesOutput one of erluv names --json.
type (
	callOutput struct {
		Node   string `json:"node"`
		Result string `json:"result"`
		Error  string `json:"error"`
	}
	namesOutput struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	}
)

// whole decodes output that is one value on several lines. It refuses unknown keys, as one does.
func whole[T any](t *testing.T, text string) (value T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&value); err != nil || d.More() {
		t.Fatalf("%v in\n%s", err, text)
	}
	return value
}

// one decodes the one object that a command has printed.
func one[T any](t *testing.T, text string) T {
	t.Helper()
	list := objects[T](t, text)
	if len(list) != 1 {
		t.Fatalf("%d objects in\n%s", len(list), text)
	}
	return list[0]
}
