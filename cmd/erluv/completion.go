package main

import (
	"fmt"
	"strings"

	"erluv/config"

	"github.com/spf13/cobra"
)

// shells maps each shell that completion accepts to the function that prints its script.
var shells = map[string]func(root *cobra.Command) error{
	"bash": func(root *cobra.Command) error { return root.GenBashCompletionV2(root.OutOrStdout(), true) },
	"fish": func(root *cobra.Command) error { return root.GenFishCompletion(root.OutOrStdout(), true) },
	"zsh":  func(root *cobra.Command) error { return root.GenZshCompletion(root.OutOrStdout()) },
}

// completion is the command that prints a shell's script. The scripts ask erluv itself, through a
// hidden command of cobra's. So a new flag needs no new script.
func (c *command) completion() *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "print a script for completion in a shell",
		Long: "Print a script with which a shell completes the command line of erluv.",
		Example: `  source <(erluv completion bash)                  bash, with bash-completion
  erluv completion zsh >"${fpath[1]}/_erluv"       zsh
  erluv completion fish | source                   fish`,
		DisableFlagsInUseLine: true,
		ValidArgs:             []string{"bash", "zsh", "fish"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && shells[args[0]] != nil {
				return nil
			}
			return usageError{fmt.Errorf("completion takes the name of a shell: bash, zsh or fish")}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(c.given) > 0 {
				return usageError{fmt.Errorf("completion takes no settings")}
			}
			return shells[args[0]](cmd.Root())
		},
	}
}

// completeValues sets the completion of flag values. It completes words of a fixed choice, and
// otherwise names of files, which is a shell's default.
func completeValues(cmd *cobra.Command) error {
	for _, key := range config.Keys() {
		var complete cobra.CompletionFunc
		switch choice := strings.Split(key.Form, "|"); {
		case key.FileOnly || key.Form == "file":
			continue
		case choice[len(choice)-1] == "path":
			complete = cobra.FixedCompletions(choice[:len(choice)-1], cobra.ShellCompDirectiveDefault)
		case len(choice) > 1:
			complete = cobra.FixedCompletions(choice, cobra.ShellCompDirectiveNoFileComp)
		case key.IsSwitch():
			complete = cobra.FixedCompletions([]string{"true", "false"}, cobra.ShellCompDirectiveNoFileComp)
		default:
			complete = cobra.NoFileCompletions
		}
		if err := cmd.RegisterFlagCompletionFunc(key.Flag(), complete); err != nil {
			return err
		}
	}
	return nil
}
