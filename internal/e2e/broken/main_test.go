// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func load(t *testing.T) []variant {
	t.Helper()
	all, err := variants()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each variant's text is in its file exactly once, and the changed files compile: the
// build of the simulation below shows that.
func TestVariantsApply(t *testing.T) {
	t.Chdir("../../..")
	all := load(t)
	changed, err := change(all, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range all {
		asked := false
		for _, e := range v.edits {
			asked = asked || strings.Contains(changed[e.file], `broken("`+v.name+`")`)
		}
		if seen[v.name] || !asked || !regexp.MustCompile(`^I[1-8]$`).MatchString(v.breaks) || v.about == "" {
			t.Errorf("%s: want a name of its own, a question for it in the changed text, an invariant and a sentence: %+v", v.name, v)
		}
		seen[v.name] = true
	}
	if len(seen) < 130 {
		t.Errorf("%d variants, want 130 or more", len(seen))
	}
}

var caught = regexp.MustCompile(`caught after (\d+) runs, seed (\d+): (.*)`)

// The checker notices every mistake.
func TestEveryVariantIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the simulation and plays thousands of plans")
	}
	t.Chdir("../../..")
	dir := t.TempDir()
	all := load(t)
	if err := write(all, dir); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "simulate")
	build := exec.Command("go", "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"),
		"-ldflags", "-X heptapod-paas-runner/internal/e2e.breakable="+names(all), "-o", program, "./internal/e2e")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the simulation: %v\n%s", err, out)
	}
	for _, v := range all {
		run := exec.Command(program)
		run.Env = append(os.Environ(), "SIM_BREAK="+v.name, "SEED=1", "RUNS=3000")
		out, err := run.Output()
		found := caught.FindSubmatch(out)
		if err == nil || found == nil {
			t.Errorf("%s (%s, %s) is not caught in 3000 runs: %v\n%s", v.name, v.breaks, v.about, err, out[max(0, len(out)-2000):])
			continue
		}
		t.Logf("%-22s caught after %4s runs: %.120s", v.name, found[1], found[3])
	}
	unknown := exec.Command(program)
	unknown.Env = append(os.Environ(), "SIM_BREAK=no_such_variant", "RUNS=1")
	if out, err := unknown.CombinedOutput(); err == nil || !strings.Contains(string(out), `found no such variant`) {
		t.Errorf("an unknown variant is taken for none: %v\n%s", err, out)
	}
}
