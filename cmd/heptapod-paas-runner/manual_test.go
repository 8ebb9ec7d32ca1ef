// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The man page and the completions know every command and option that --help shows.
func TestManualKnowsWhatHelpShows(t *testing.T) {
	t.Parallel()
	output := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "heptapod-paas-runner", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	page := strings.ReplaceAll(output("man"), `\-`, "-")
	scripts := map[string]string{"bash": output("completion", "bash"), "fish": output("completion", "fish")}
	flag := regexp.MustCompile(`(?m)^ +(?:-\w, )? *(--[a-z][a-z-]+)`)
	for command := range strings.FieldsSeq("run register check status audit demo sim sim_gitlab sim_clever version") {
		argv := strings.Split(command, "_")
		help := output(slices.Concat(argv, []string{"--help"})...)
		if !strings.Contains(help, "Examples:\n\n    ") {
			t.Errorf("%s --help shows no examples", command)
		}
		if command == "sim" {
			continue // its commands are told of one by one
		}
		flags := flag.FindAllStringSubmatch(help, -1)
		if len(flags) < 3 {
			t.Errorf("%s --help shows only %v", command, flags)
		}
		_, section, found := strings.Cut(page, ".SS "+strings.Join(argv, " ")+"\n")
		if !found {
			t.Errorf("the man page lacks %q", argv)
		}
		section, _, _ = strings.Cut(section, ".SS ")
		for _, f := range flags {
			common := f[1] == "--help" || strings.HasPrefix(f[1], "--log-")
			if !common && !strings.Contains(section, f[1]) {
				t.Errorf("the man page lacks %s of %s", f[1], command)
			}
			if !strings.Contains(scripts["bash"], f[1]) || !strings.Contains(scripts["fish"], " -l "+f[1][2:]) {
				t.Errorf("the completions lack %s of %s", f[1], command)
			}
		}
	}
}

// The shells themselves take what is written for them, and complete by it.
func TestShellsComplete(t *testing.T) {
	if testing.Short() {
		t.Skip("needs zsh and fish")
	}
	t.Parallel()
	for shell, argv := range map[string][]string{
		"bash": {"-c", `. "$0"; COMP_WORDS=(heptapod-paas-runner sim --log-level=info gi) COMP_CWORD=3; _heptapod_paas_runner; echo ${COMPREPLY[@]}`},
		"fish": {"-c", `source $argv[1]; complete -C "heptapod-paas-runner sim --log-level=info gi" | cut -f 1`},
		// At a terminal, since nothing else asks the completion of zsh; the file is loaded by
		// the first question, which has to be answered too.
		"zsh": {"-fc", `zmodload zsh/zpty; zpty z zsh -f -i
			type() { zpty -w -n z "$1"; zpty -r z out "*$2*" }
			type "PS1=; fpath=(\"${0:h}\" \$fpath); autoload -U compinit; compinit -u -D; print rea\"\"dy"$'\n' ready
			type $'heptapod-paas-runner() { print "sa""ys $2"; }; print go""od\n' good
			type $'heptapod-paas-runner sim --log-level=info gi\t' gitlab
			print gitlab; zpty -d z`},
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			script, err := exec.CommandContext(t.Context(), "heptapod-paas-runner", "completion", shell).Output()
			path := filepath.Join(t.TempDir(), "_heptapod-paas-runner")
			if err == nil {
				err = os.WriteFile(path, script, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := exec.CommandContext(ctx, shell, append(argv, path)...).CombinedOutput()
			if err != nil || string(got) != "gitlab\n" {
				t.Errorf("%s completes 'sim gi' to %q, %v", shell, got, err)
			}
		})
	}
}
