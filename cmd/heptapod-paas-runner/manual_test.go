// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
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
	for command := range strings.FieldsSeq("run register check status audit demo sim_gitlab sim_clever version") {
		argv := strings.Split(command, "_")
		flags := flag.FindAllStringSubmatch(output(slices.Concat(argv, []string{"--help"})...), -1)
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
	// bash itself takes what was written for it.
	ask := scripts["bash"] + "COMP_WORDS=(heptapod-paas-runner sim --log-level=info gi) COMP_CWORD=3; _heptapod_paas_runner; echo ${COMPREPLY[@]}"
	got, err := exec.CommandContext(t.Context(), "bash", "-c", ask).CombinedOutput()
	if err != nil || string(got) != "gitlab\n" {
		t.Errorf("bash completes 'sim gi' to %q, %v", got, err)
	}
}
