package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"erluv/config"
	"erluv/control"
	"erluv/wire/client"
	"erluv/wire/dist"
	"erluv/wire/etf"

	"github.com/spf13/cobra"
)

// An operator is what the commands share that speak with an erluv of this machine by its
// control socket: which one, and in which form they print what it says.
type operator struct {
	*command
	name, socket, format string // flags
}

const (
	// connectBound is how long it may take to connect: main accepts when it has nothing
	// else to do.
	connectBound = 10 * time.Second

	// lookBound is how long erluv may take to answer what takes no time.
	lookBound = 30 * time.Second
)

// add gives a command the flags of an operator; formats: it prints something.
func (o *operator) add(cmd *cobra.Command, formats bool) *cobra.Command {
	set := cmd.Flags()
	set.SortFlags = false
	set.VarP(&choice{&o.name, "name", nil}, "name", "", "the erluv with this name, if several run here")
	set.VarP(&choice{&o.socket, "path", nil}, "control", "", "the erluv with this control socket")
	if formats {
		formats := []string{config.FormatText, config.FormatJSON}
		set.VarP(&choice{&o.format, strings.Join(formats, "|"), formats}, "format", "", "how to print it (default text)")
	}
	return cmd
}

// A choice is the value of a flag of an operator.
type choice struct {
	to    *string
	form  string
	words []string // that it takes; nil: all but nothing
}

func (c *choice) Set(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case c.words != nil && !slices.Contains(c.words, s):
		return fmt.Errorf("takes %s", strings.Join(c.words, " or "))
	}
	*c.to = s
	return nil
}

func (c *choice) String() string { return "" }

func (c *choice) Type() string { return c.form }

// path is the control socket that is meant.
func (o *operator) path() (string, error) {
	if o.socket != "" {
		if o.name != "" {
			return "", usageError{errors.New("--name and --control exclude each other")}
		}
		return o.socket, nil
	}
	dir, err := control.Dir(o.machine.UID, os.Getenv("XDG_RUNTIME_DIR"))
	if err != nil {
		return "", fmt.Errorf("no control socket can be looked for: %w: by --control", err)
	}
	if o.name != "" {
		return control.PathOf(dir, o.name), nil
	}
	names, err := control.Living(dir)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot look for control sockets: %w", err)
	case len(names) == 1:
		return control.PathOf(dir, names[0]), nil
	case len(names) > 1:
		return "", fmt.Errorf("several erluvs run here: choose by --name one of %s", strings.Join(names, ", "))
	}
	hint := "run one, or name its socket by --control"
	if o.machine.UID != 0 {
		hint = "one that root has started is asked by root, and one of an ordinary user has a socket only with control = on"
	}
	return "", fmt.Errorf("no erluv listens at a control socket in %s: %s", dir, hint)
}

// connect connects to the erluv that is meant. Messages go to deliver, which may be nil.
func (o *operator) connect(ctx context.Context, deliver func(etf.Term)) (*client.Client, error) {
	path, err := o.path()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectBound, fmt.Errorf("no answer within %v", connectBound))
	defer cancel()
	conn, err := control.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	return client.Dial(ctx, conn, operatorNode(), "", deliver)
}

// operatorNode is what a command says of itself. Its name is no other's.
func operatorNode() dist.Local {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails, see its document
	return dist.Local{
		Name:     fmt.Sprintf("erluv_%d_%x@%s", os.Getpid(), random[:4], control.Host),
		Creation: binary.BigEndian.Uint32(random[4:]) | 4, // 1 to 3 are what old nodes cycle through
		Cookie:   control.Cookie,
		Flags:    dist.Default,
	}
}

// look asks for what erluv answers at once.
func look(ctx context.Context, c *client.Client, to, request etf.Term) (etf.Term, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookBound, fmt.Errorf("erluv has not answered within %v", lookBound))
	defer cancel()
	return ask(ctx, c, to, request)
}

// ask makes a call, and an error of the answer {error, Reason}.
func ask(ctx context.Context, c *client.Client, to, request etf.Term) (etf.Term, error) {
	answer, err := c.Call(ctx, to, request)
	switch {
	case err != nil && c.Err() != nil:
		return nil, fmt.Errorf("erluv has ended the connection: it ends, or its child has crashed: its log says which (%w)", err)
	case err != nil:
		return nil, err
	}
	if t, ok := answer.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("error") {
		return nil, refusal(t[1])
	}
	return answer, nil
}

// refusal is the error of {error, Reason}.
func refusal(reason etf.Term) error {
	switch reason {
	case etf.Atom("child_down"):
		return errors.New("erluv has no child at the moment: it has crashed, and erluv ends soon unless its node says respawn")
	case etf.Atom("esrch"):
		return errors.New("the program has ended")
	}
	return fmt.Errorf("erluv answers {error, %v}", reason)
}
