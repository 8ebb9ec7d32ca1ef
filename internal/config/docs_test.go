// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// The documentation and the table of keys say the same, row by row, both ways.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, spellings := rows(string(raw))
	known, older := map[string]string{}, map[string]string{}
	for _, k := range Keys() {
		travels := ""
		if k.Forwarded {
			travels = " ⇒"
		}
		known[k.Section+"/"+k.Name] = fmt.Sprintf("`%s`%s | %s | %s | %s", k.Name, travels, k.Kind, k.DefaultText(), k.Source)
		for _, name := range k.Older {
			older[name] = k.Name
		}
	}
	if diff := gocmp.Diff(known, documented); diff != "" {
		t.Errorf("the keys (-in the code +in the documentation):\n%s", diff)
	}
	if diff := gocmp.Diff(older, spellings); diff != "" {
		t.Errorf("other spellings (-in the code +in the documentation):\n%s", diff)
	}
	for _, k := range Keys() {
		for _, choice := range k.Choices {
			if row := meaning(string(raw), k.Name); !strings.Contains(row, "`"+choice+"`") {
				t.Errorf("%s: the choice %s is not documented", k.Name, choice)
			}
		}
	}
	listed := regexp.MustCompile("(?s)accepted and have no effect here: (.*?)\\.\n").FindStringSubmatch(string(raw))
	if want := "`" + strings.Join(foreignGlobals(), "`, `") + "`"; listed == nil || strings.ReplaceAll(listed[1], "\n", " ") != want {
		t.Errorf("keys of gitlab-runner: documented %q, want %s", listed, want)
	}
}

// rows reads the tables of the documentation: the keys by section, and the spellings.
func rows(text string) (keys, spellings map[string]string) {
	keys, spellings = map[string]string{}, map[string]string{}
	sections := map[string]string{
		"## Global keys": secGlobal, "## Table `[quota_computation]`": secQuota, "## Table `[[runners]]`": secRunner,
		"### Table `[[runners]]` with `executor = \"clever-docker\"`": secRunner, "### Table `[[runners]]` with `executor = \"local-docker\"`": secRunner,
		"## Table `[runners.job_trace_watch]`": secWatch,
	}
	present := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			present = line
		}
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) < 3 {
			continue
		}
		name := strings.Split(line, "`")[1]
		if section, ok := sections[present]; ok && len(cells) == 5 {
			keys[section+"/"+name] = strings.Join([]string{strings.TrimPrefix(cells[0], "| "), cells[1], cells[2], strings.TrimSuffix(cells[4], " |")}, " | ")
			continue
		}
		spellings[name] = strings.Trim(cells[1], "`")
	}
	return keys, spellings
}

func meaning(text, name string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `"+name+"`") {
			return line
		}
	}
	return ""
}

// The documentation's own example is valid.
func TestDocumentedExample(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var example strings.Builder
	for line := range strings.Lines(string(raw)) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			example.WriteString(code)
		}
	}
	cfg, err := parse("/etc/p/f.toml", example.String(), 0o644, world(map[string]string{"CLEVER_TOKEN": "c"}, map[string]string{"/etc/p/runner-token": "t\n"}))
	const other = "paas_docker_flavors: has no effect with executor clever-docker" // the second example
	if err != nil || len(cfg.Warnings) != 1 || !strings.HasSuffix(cfg.Warnings[0], other) {
		t.Errorf("%v, %+v", err, cfg)
	}
}

// The constants are what the table says.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"concurrent": "50", "check_interval": "3", "job_progress_poll_interval": "30", "paas_max_concurrent_provisioning": "10",
		"paas_max_parked_seconds": "600", "paas_min_seconds_between_launches": "0", "state_file": "required", "listen_address": "none",
	} {
		if got := find(secGlobal, name).DefaultText(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	seen := map[string]bool{}
	for _, k := range Keys() {
		for _, name := range k.spellings() {
			if seen[k.Section+"/"+name] {
				t.Errorf("%s is twice in the table", name)
			}
			seen[k.Section+"/"+name] = true
		}
	}
}
