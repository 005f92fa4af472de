package childproc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// footprint has one entry for each listener or file that a program may make when it is ready. It is
// nil if there are none. Those from before the program's start are not the program's work.
type footprint map[string]bool

// differs reports whether any entry is new.
func (now footprint) differs(before footprint) bool {
	for thing := range now {
		if !before[thing] {
			return true
		}
	}
	return false
}

// listeners returns the sockets that listen on a TCP port, by inode (proc_pid_net(5), tcp and
// tcp6). It opens no connection, which the program would see. Listening sockets come first, so it
// skips all others.
func listeners(port uint16) footprint {
	var found footprint
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue // a kernel without IPv6
		}
		lines := bufio.NewScanner(f)
		lines.Scan() // the heading
		for lines.Scan() {
			// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != listening {
				break
			}
			if _, hex, ok := strings.Cut(fields[1], ":"); ok && hex == fmt.Sprintf("%04X", port) {
				if found == nil {
					found = make(footprint)
				}
				found[fields[9]] = true
			}
		}
		_ = f.Close()
	}
	return found
}

// listening is the state TCP_LISTEN in these files.
const listening = "0A"

// fileNow describes a file. If another file has the name, or the file was changed, the footprint
// differs. It follows links.
func fileNow(path string) footprint {
	var st unix.Stat_t
	if eintr.Stat(path, &st) != nil {
		return nil
	}
	var b []byte
	for _, v := range []int64{int64(st.Dev), int64(st.Ino), st.Mtim.Nano(), st.Ctim.Nano()} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return footprint{string(b): true}
}
