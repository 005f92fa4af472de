package order

import (
	"errors"
	"fmt"
	"time"

	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

func toSignal(to *unix.Signal, v etf.Term) error {
	sig, err := gen.ReadSignal(v)
	if err == nil {
		*to = sig
	}
	return err
}

// toSteps takes a list of close, signals and milliseconds. A number is a time, so a signal without
// a name is given as {signal, Number}.
func toSteps(to *[]workers.Step, v etf.Term) error {
	list, ok := etf.Elements(v)
	if !ok || len(list) == 0 || len(list) > workers.MaxSteps {
		return fmt.Errorf("must be a list of 1 to %d steps: close, a signal such as sigterm, {signal, Signal}, or milliseconds", workers.MaxSteps)
	}
	var steps []workers.Step
	var total time.Duration
	for i, t := range list {
		st, err := stepOf(t)
		if err != nil {
			return fmt.Errorf("step %d %w", i+1, err)
		}
		if st.Signal == unix.SIGKILL && i < len(list)-1 {
			return fmt.Errorf("step %d ends everything: sigkill must be the last one", i+1)
		}
		if total += st.Wait; total > maxMillis*time.Millisecond {
			return fmt.Errorf("must wait %d milliseconds at most in all", maxMillis)
		}
		steps = append(steps, st)
	}
	*to = steps
	return nil
}

func stepOf(t etf.Term) (st workers.Step, err error) {
	switch v := t.(type) {
	case int64:
		if toMillis(&st.Wait, v) != nil {
			return st, fmt.Errorf("must be milliseconds from 0 to %d", maxMillis)
		}
		return st, nil
	case etf.Atom:
		if v == "close" {
			return workers.Step{Close: true}, nil
		}
	case etf.Tuple:
		if len(v) == 2 && v[0] == etf.Atom("signal") {
			t = v[1]
		}
	}
	if st.Signal, err = gen.ReadSignal(t); err != nil {
		return st, errors.New("must be close, a signal such as sigterm, {signal, Signal}, or milliseconds")
	}
	return st, nil
}

// settleStop refuses two options that both say which signal is sent first.
func (r *reading) settleStop() *BadOption {
	if _, ok := r.has("kill_signal"); ok && r.o.Spec.StopSteps != nil {
		return &BadOption{etf.Atom("stop_sequence"), "takes the place of kill_signal: give one of them"}
	}
	return nil
}
