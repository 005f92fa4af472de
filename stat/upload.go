package stat

import "time"

// Upload is a file that arrives, or a program in memory.
type Upload struct {
	Worker  Process
	PID     int // of the process that writes; 0: none
	User    string
	State   string
	Started time.Time
	Path    string
	Bytes   int64
	Size    int64 // -1: unknown

	// These fields are only in the answer for one upload.
	All   bool
	Owner Process
}

// Items returns the items of an upload, with the keys of a program where they apply.
func (u *Upload) Items() []Item {
	items := []Item{
		{"os_pid", int64(u.PID)},
		{"cmd", []string{}},
		{"user", u.User},
		{"state", Word(u.State)},
		{"started", millis(u.Started)},
		{"restarts", int64(0)},
		{"path", u.Path},
		{"bytes", u.Bytes},
	}
	if u.Size >= 0 {
		items = append(items, Item{"size", u.Size})
	}
	if !u.All {
		return items
	}
	return append(items, whose("", u.Owner, false)...)
}
