package spawner

import (
	"time"

	"erluv/ipc"
)

// dumpBound is how long dump waits for the current request before it logs without the tables.
const dumpBound = 2 * time.Second

// tidy removes control groups, between requests.
func (s *spawner) tidy() {
	s.answering.Lock()
	defer s.answering.Unlock()
	s.leaves.tidy(tidyAtOnce)
}

// dump logs the spawner's state: counts, and the first of its processes.
func (s *spawner) dump() {
	rounds := s.rounds.Load()
	for end := time.Now().Add(dumpBound); !s.answering.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.log.Always("how the spawner stands: in one request", "requests", rounds/2, "same", s.rounds.Load() == rounds)
			return
		}
	}
	defer s.answering.Unlock()
	pids, err := children()
	s.log.Always("how the spawner stands", "requests", rounds/2, "processes", len(pids),
		"leaves_made", s.leaves.next, "leaves_free", len(s.leaves.free), "leaves_left_alone", len(s.leaves.left),
		"leaves_to_remove", len(s.leaves.over), "limited_to_remove", len(s.limits.used), "notify_sockets", len(s.notify.path), "reports", s.reports)
	if err != nil {
		s.log.Always("how the spawner stands: its processes cannot be seen", "error", err)
	}
	for _, pid := range pids[:min(len(pids), ipc.DumpMost)] {
		s.log.Always("how the spawner stands: a process", "pid", pid)
	}
}
