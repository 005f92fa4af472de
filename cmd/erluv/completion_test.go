package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Each shell completes an incomplete word with erluv's answer. The test uses fish's own command.
// For bash and zsh it types on a terminal, which zsh makes for bash too.
var completes = map[string]struct {
	program []string
	ask     string // TYPED is the command line, which ends with the word
}{
	"fish": {[]string{"fish", "--no-config", "-c"}, `
		erluv completion fish | source
		complete -C 'TYPED' | string replace -r '\t.*' ''
		true`},
	"zsh": {[]string{"zsh", "-f", "-c"}, `
		zmodload zsh/zpty
		zpty z zsh -fi
		zpty -w z 'PS1= PS2=; stty -echo; autoload -Uz compinit; compinit -u -D
			source <(erluv completion zsh); print -r -- REA""DY'
		zpty -r z out '*READY*'
		zpty -w z $'TYPED\t\C-aprint -r -- BEG""IN \C-e EN""D'
		zpty -r z out '*BEGIN *END*'
		print -r -- $out
		zpty -d z`},
	"bash": {[]string{"zsh", "-f", "-c"}, `
		zmodload zsh/zpty
		zpty z bash --norc
		zpty -w z 'PS1= PS2=; stty -echo; source /usr/share/bash-completion/bash_completion
			source <(erluv completion bash); echo REA""DY'
		zpty -r z out '*READY*'
		zpty -w z $'TYPED\t\C-aecho BEG""IN \C-e EN""D'
		zpty -r z out '*BEGIN *END*'
		print -r -- $out
		zpty -d z`},
}

func TestCompletion(t *testing.T) {
	for shell, how := range completes {
		for line, want := range map[string]string{
			"erluv pi":                      "ping",
			"erluv ma":                      "map",
			"erluv call --al":               "--all",
			"erluv run --sandbox st":        "strict",
			"erluv config --die":            "--die-timeout",
			"erluv run --cookie-file ./coo": "./cookie.txt",
		} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			cmd := exec.CommandContext(ctx, how.program[0], append(how.program[1:], strings.ReplaceAll(how.ask, "TYPED", line))...)
			cmd.Dir = t.TempDir()
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TERM=dumb", "LC_ALL=C.UTF-8", quickExit}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := os.WriteFile(cmd.Dir+"/cookie.txt", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := cmd.Output()
			cancel()
			got := strings.TrimSpace(string(out))
			if _, typed, ok := strings.Cut(got, "BEGIN "); ok { // the whole line after completion
				typed, _, _ = strings.Cut(typed, "END")
				got = strings.TrimSpace(typed[strings.LastIndex(strings.TrimSpace(typed), " ")+1:])
			}
			if err != nil || got != want {
				t.Errorf("%s: %q is completed by %q, want %q (%v)\n%s", shell, line, got, want, err, stderr.String())
			}
		}
	}
}
