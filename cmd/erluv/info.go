package main

import (
	"errors"
	"fmt"

	"erluv/config"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// info is the command that prints what an erluv says of itself.
type info struct{ operator }

func (c *command) info() *cobra.Command {
	i := &info{operator{command: c}}
	return i.add(&cobra.Command{
		Use: "info", Short: "what an erluv on this machine says of itself",
		Long: `Print what an erluv on this machine says of itself: its node, its connections,
versions, processes, sandbox. The keys are those of the request info,
see erluv-protocol(7).`,
		Example: `  sudo erluv info
  sudo erluv info --name erluv_db1 --format json`,
		RunE: i.run,
	}, true)
}

func (i *info) run(*cobra.Command, []string) error {
	ctx, cancel := untilSignal()
	defer cancel()
	c, err := i.connect(ctx, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := look(ctx, c, gen.Manager, etf.Atom("info"))
	if err != nil {
		return err
	}
	m, ok := answer.(etf.Map)
	if !ok {
		return errors.New("erluv answers with something else than a map")
	}
	if i.format == config.FormatJSON {
		_, err = fmt.Fprintf(i.stdout, "%s\n", stat.JSON(stat.Read(m)))
	} else {
		_, err = fmt.Fprint(i.stdout, stat.Text(stat.Read(m)))
	}
	return err
}
