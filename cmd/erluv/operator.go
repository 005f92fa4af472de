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

// An operator is the common part of commands that talk to an erluv: the choice of the erluv, and
// the form of the output. Without a node it is an erluv of this machine, through its control
// socket.
type operator struct {
	*command
	name, socket, format string         // flags
	at, node             string         // flags: an erluv that listens, or a node that erluvs serve
	cfg                  *config.Config // with at or node: how to connect to it
}

const (
	// connectBound bounds a connection attempt. Main accepts when it has nothing else to do.
	connectBound = 10 * time.Second

	// lookBound bounds the wait for an answer that erluv gives at once.
	lookBound = 30 * time.Second
)

// add gives a command the flags of an operator. With formats the command has output.
func (o *operator) add(cmd *cobra.Command, formats bool) *cobra.Command {
	set := cmd.Flags()
	set.SortFlags = false
	set.VarP(&choice{&o.name, "name", nil}, "name", "", "the erluv with this name, if several run on this machine")
	set.VarP(&choice{&o.socket, "path", nil}, "control", "", "the erluv with this control socket")
	set.VarP(&choice{&o.at, "name@host", nil}, "at", "", "the erluv with this node name, which must listen")
	set.Var(o.value(config.FileKey, config.FileKey, "file"), config.FileKey, "configuration file with control and the settings for --at, or none")
	set.Var(o.value("cookie_file", "cookie-file", "file"), "cookie-file", "file with the cookie for --at")
	set.StringVar(&o.handover, handoverFlag, "", "")
	set.Lookup(handoverFlag).Hidden = true
	cmd.PreRunE = o.prepare
	if formats {
		formats := []string{config.FormatText, config.FormatJSON}
		set.VarP(&choice{&o.format, strings.Join(formats, "|"), formats}, "format", "", "output format (default text)")
	}
	return cmd
}

// addNode gives it the flag of commands that can go to several erluvs.
func (o *operator) addNode(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().VarP(&choice{&o.node, "name@host", nil}, "node", "", "all erluvs that serve this node")
	return cmd
}

// prepare reads how to connect to a node, if one is named.
func (o *operator) prepare(cmd *cobra.Command, args []string) error {
	var given []string
	for _, flag := range []struct{ name, value string }{{"--name", o.name}, {"--control", o.socket}, {"--at", o.at}, {"--node", o.node}} {
		if flag.value != "" {
			given = append(given, flag.name)
		}
	}
	if len(given) > 1 {
		return usageError{fmt.Errorf("%s exclude each other", strings.Join(given, " and "))}
	}
	switch o.socket {
	case "on": // as in the setting: the default place
		o.socket = ""
	case "off":
		return usageError{errors.New("--control takes the path of a socket, or on")}
	}
	target := o.at + o.node
	if target == "" {
		return nil
	}
	if err := o.hideSecrets(cmd.Name(), own(cmd, args)...); err != nil {
		return err
	}
	o.entry = target
	var err error
	o.cfg, err = o.ready()
	return err
}

// A choice is the value of a flag of an operator.
type choice struct {
	to    *string
	form  string
	words []string // allowed words; nil: all but the empty one
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

func (c *choice) String() string {
	if c.to == nil { // pflag makes such a value to compare with
		return ""
	}
	return *c.to
}

func (c *choice) Type() string { return c.form }

// path returns the control socket to use.
func (o *operator) path() (string, error) {
	if o.socket != "" {
		return o.socket, nil
	}
	if o.name == "" {
		// An error in the configuration must not prevent a look.
		if cfg, _, err := config.Load(config.Sources{Args: o.given, Environ: os.Environ(), Machine: o.machine}); err == nil && cfg.Control.Path != "" {
			return cfg.Control.Path, nil
		}
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

// connect connects to the selected erluv, or to the node of --node. Messages go to deliver, which may be nil.
func (o *operator) connect(ctx context.Context, deliver func(etf.Term)) (*connection, error) {
	if o.at+o.node != "" {
		return o.reach(ctx, deliver)
	}
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
	c, err := client.Dial(ctx, conn, operatorNode(), "", deliver)
	if err != nil {
		return nil, err
	}
	return &connection{c, c.Close}, nil
}

// reach connects to the named node.
func (o *operator) reach(ctx context.Context, deliver func(etf.Term)) (*connection, error) {
	c, leave, err := dial(ctx, o.cfg, deliver)
	if err != nil {
		return nil, err
	}
	return &connection{c, leave}, nil
}

// operatorNode is the node that a command plays. Its name is unique.
func operatorNode() dist.Local {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails, see its document
	return dist.Local{
		Name:     fmt.Sprintf("erluv_%d_%x@%s", os.Getpid(), random[:4], control.Host),
		Creation: binary.BigEndian.Uint32(random[4:]) | 4, // old nodes cycle through 1 to 3
		Cookie:   control.Cookie,
		Flags:    dist.Default,
	}
}

// look makes a call that erluv answers at once.
func look(ctx context.Context, c caller, to, request etf.Term) (etf.Term, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookBound, fmt.Errorf("erluv has not answered within %v", lookBound))
	defer cancel()
	return ask(ctx, c, to, request)
}

// ask makes a call, and turns the answer {error, Reason} into an error.
func ask(ctx context.Context, c caller, to, request etf.Term) (etf.Term, error) {
	answer, err := c.Call(ctx, to, request)
	var exit *client.Exit
	switch {
	case errors.As(err, &exit) && exit.Reason == etf.Atom("child_crashed"):
		return nil, errCrashed
	case errors.As(err, new(errNodeGone)):
		return nil, err
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

// errNoChild is main's answer between a crash and the next child.
var errNoChild = errors.New("erluv has no child at the moment: it has crashed, and erluv ends soon unless its node says respawn")

// errCrashed is the error of a call if the child crashes and the connection stays, as through a
// node. A connection to the control socket ends with the child.
var errCrashed = errors.New("erluv's child has crashed, and the programs have ended with it")

// refusal returns the error for {error, Reason}.
func refusal(reason etf.Term) error {
	switch reason {
	case etf.Atom("child_down"):
		return errNoChild
	case etf.Atom("esrch"):
		return errors.New("the program has ended")
	case etf.Atom("not_allowed"):
		return errors.New("erluv does not allow that now: no node is served yet, the workers are being stopped, or erluv ends")
	}
	return &refused{reason}
}

// refused is an answer {error, Reason}.
type refused struct{ reason etf.Term }

func (r *refused) Error() string { return fmt.Sprintf("erluv answers {error, %v}", r.reason) }
