package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The texts of --help for each command.
const (
	about = `erluv connects to an Erlang node, as a hidden node, and runs programs of the
operating system for it. Each program is a process that Erlang can link, monitor
and supervise.

A setting is a flag, ERLUV_... in the environment, or a line of ~/.erluv.conf.
The file has precedence over the environment, and the environment over the
flags. See erluv(8) and erluv.conf(5).`

	examples = `  erluv ping --node shop@myhost           can it connect?
  erluv --node shop@myhost                serve the node, until Ctrl-C
  erluv config                            each setting, and its source
  erluv ping --help                       the same for one command`

	aboutRun = `Connect to a node and serve it, until the node or a signal stops erluv. If
standard input is a pipe, its end stops erluv too. If the first connection
fails, erluv prints the reason and exits.`

	examplesOfRun = `  erluv run --node shop@myhost
  sudo erluv run --node shop@myhost --cookie-file ~/.erlang.cookie
  erluv run --detach --node shop@myhost 2>>/var/log/erluv.log`

	aboutConfig = `Print every setting: its value, its source, and what it shadows. The cookie is
masked. Standard error has the features that run would lack on this machine.
erluv connects to nothing.

The file has precedence over the environment and the flags. So an administrator
can fix a value for users who may run erluv as root. No flag overrides the file
that a rule of sudoers names. erluv refuses a second --config.`

	examplesOfConfig = `  erluv config
  erluv config --config /etc/erluv/erluv.conf`

	aboutPing = `Connect to the node, authenticate, and print pong, or the reason for the
failure. The other flags of run are accepted, and have no effect here.`

	examplesOfPing = `  erluv ping --node shop@myhost
  erluv ping --node shop@127.0.0.1 --address 127.0.0.1:9100`

	aboutVersion = `Print the version.`
)

// helpWidth is the least width of a terminal, and helpColumn the column where the texts of flags
// begin.
const (
	helpWidth  = 80
	helpColumn = 25
)

// usage prints how to call a command, its subcommands, and its flags.
func usage(cmd *cobra.Command) error {
	w := cmd.OutOrStdout()
	flags := cmd.LocalFlags()
	fmt.Fprint(w, "Usage:\n  ", cmd.UseLine(), "\n")
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, "  ", cmd.Name(), " COMMAND [flags]\n\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-12s%s\n", sub.Name(), sub.Short)
			}
		}
	}
	if cmd.HasExample() {
		fmt.Fprint(w, "\nExamples:\n", cmd.Example, "\n")
	}
	fmt.Fprint(w, "\nFlags:\n")
	flags.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			fmt.Fprint(w, flagUsage(flag))
		}
	})
	return nil
}

// flagUsage returns a flag, its value, and its text in a second column. The text begins on the next
// line if the first column is too long.
func flagUsage(flag *pflag.Flag) string {
	form, text := pflag.UnquoteUsage(flag)
	line := "  --" + flag.Name
	if flag.Shorthand != "" {
		line = "  -" + flag.Shorthand + ", --" + flag.Name
	}
	if form != "" {
		line += " " + form
	}
	indent := "\n" + strings.Repeat(" ", helpColumn)
	if len(line) > helpColumn-2 {
		line += indent
	} else {
		line += strings.Repeat(" ", helpColumn-len(line))
	}
	used := helpColumn
	for _, word := range words(text) {
		if used+len(strings.TrimSuffix(word, " ")) > helpWidth {
			line = strings.TrimSuffix(line, " ") + indent
			used = helpColumn
		}
		line += word
		used += len(word)
	}
	return line + "\n"
}

// words splits a text where a line may end: after spaces, and after the colons of a path.
func words(text string) (list []string) {
	for len(text) > 0 {
		end := strings.IndexAny(text, " :")
		if end < 0 {
			end = len(text) - 1
		}
		list, text = append(list, text[:end+1]), text[end+1:]
	}
	return list
}
