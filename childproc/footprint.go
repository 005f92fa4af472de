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

// footprint is what there is of something that a program makes when it is ready: one
// entry for each thing, nil when there is nothing. What was there before the program
// was started is not its work.
type footprint map[string]bool

// differs says whether there is something that was not there before.
func (now footprint) differs(before footprint) bool {
	for thing := range now {
		if !before[thing] {
			return true
		}
	}
	return false
}

// listeners are the sockets that listen on a TCP port, by their inode (proc_pid_net(5),
// tcp and tcp6). It opens no connection, which the program would see. The sockets
// that listen stand first: all others need not be read.
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

// listening is the state TCP_LISTEN as it stands there.
const listening = "0A"

// fileNow is a file as it is: another one of the name, or one that was changed, is
// another thing. A link is followed.
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
