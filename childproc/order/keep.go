package order

import (
	"fmt"

	"erluv/childproc/ring"
	"erluv/wire/etf"
	"erluv/workers"
)

// KeepDefault means the host's default amount of output.
const KeepDefault = -1

// toKeep takes true, false or a number of bytes.
func toKeep(to *int, v etf.Term) error {
	n, ok := v.(int64)
	switch {
	case v == etf.Atom("true"):
		*to = KeepDefault
	case v == etf.Atom("false"):
		*to = 0
	case ok && n >= ring.MinSize && n <= ring.MaxSize:
		*to = int(n)
	default:
		return fmt.Errorf("must be true, false or a number of bytes from %d to %d", ring.MinSize, ring.MaxSize)
	}
	return nil
}

// settleKeep adapts the streams to the option keep. If a stream goes to a file, that has the
// output, so keep is refused. Output to /dev/null gets a pipe, to be kept.
func (r *reading) settleKeep() *BadOption {
	if r.o.Keep == 0 {
		return nil
	}
	for no := workers.Stdout; no <= workers.Stderr; no++ {
		s := &r.o.Spec.Streams[no]
		switch s.Kind {
		case workers.File:
			return &BadOption{etf.Atom("keep"), fmt.Sprintf("cannot be given with a file for %s: that has the output", outputName(no))}
		case workers.Null:
			s.Kind = workers.Pipe
			for i := range r.o.Outputs {
				if o := &r.o.Outputs[i]; o.FD == no {
					o.To, o.Kept = nil, true
				}
			}
		}
	}
	return nil
}

func outputName(no workers.Stream) string {
	if no == workers.Stdout {
		return "stdout"
	}
	return "stderr"
}
