package crew

import (
	"log/slog"
	"testing"

	"erluv/ipc"
)

// TestHostIsKept: the next child gets the standing that the last one has reported, and all else
// unchanged.
func TestHostIsKept(t *testing.T) {
	h := &host{is: ipc.Host{OnlyClasses: true, Standing: ipc.Standing{Meta: "a"}}}
	h.stands(ipc.Standing{Wish: ipc.WishStandby, Meta: "b"})
	h.fell()
	if got := h.told(); got.Crashes != 1 || got.Standing != (ipc.Standing{Wish: ipc.WishStandby, Meta: "b"}) || !got.OnlyClasses {
		t.Errorf("%+v", got)
	}
}

// TestLimitsThatCannotBeHeld: configured limits that cannot be enforced are an error at the start,
// because no program would start.
func TestLimitsThatCannotBeHeld(t *testing.T) {
	pids := ipc.Limits{PIDs: 5}
	for name, tt := range map[string]struct {
		host ipc.Host
		dirs ipc.LimitDirs
		want string
	}{
		"nothing is asked for": {},
		"all there is":         {host: ipc.Host{Limits: pids}, dirs: ipc.LimitDirs{ipc.LimitPIDs: "/x"}},
		"of the host":          {ipc.Host{Limits: pids}, ipc.LimitDirs{ipc.LimitMemory: "/x"}, "no limit of pids can be had here"},
		"of a class":           {ipc.Host{Classes: []ipc.Class{{Limits: ipc.Limits{CPU: 1}}}}, ipc.LimitDirs{}, "no limit of cpu can be had here"},
	} {
		s := settings{host: &host{is: tt.host}, child: ipc.Start{Limits: tt.dirs}}
		if err := s.holds(); tt.want == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if tt.want != "" {
			wantError(t, name, err, tt.want)
		}
	}
	s, err := newStarter(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	_, err = launch(t.Context(), s, testID(), settings{
		host: &host{is: ipc.Host{Limits: pids}}, spawner: ipc.StartSpawner{Path: []string{"/bin"}}, ways: []containment{{name: containGroup}}, log: slog.New(slog.DiscardHandler),
	})
	wantError(t, "a crew", err, "no limit of pids can be had here")
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}
