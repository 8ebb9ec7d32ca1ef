// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/secret"
)

// added is an addition as registering makes it.
func added() Addition {
	return Addition{
		Global: Global{StateFile: "/s", Concurrent: 4, Quota: Quota{ReferenceFlavor: "S", ReferenceJobs: 3}},
		Section: map[string]any{
			"executor": "clever-docker", "token": "glrt-new", "url": "https://new.example", "name": "new",
			"cc_token": "cc", "cc_orga_id": "orga_1",
			"cc_extra_env": map[string]any{"CC_ENABLE_HEPTAPOD_RUNNER": "true"},
			"docker":       map[string]any{"image": "debian:bookworm", "volumes": []any{"/cache"}},
		},
	}
}

const addedSection = `[[runners]]
  name = "new"
  url = "https://new.example"
  token = "glrt-new"
  executor = "clever-docker"
  cc_orga_id = "orga_1"
  cc_token = "cc"
  [runners.cc_extra_env]
    CC_ENABLE_HEPTAPOD_RUNNER = "true"
  [runners.docker]
    image = "debian:bookworm"
    volumes = ["/cache"]
`

const addedQuota = `# What may run (and cost) at once: as much as so many jobs of this flavor.
[quota_computation]
  reference_runner = "new"
  reference_flavor = "S"
  reference_jobs_count = 3

`

const addedHead = "# heptapod-paas-runner check FILE says what is wrong with this file.\n\nstate_file = \"/s\"\n"

// draftOf makes a draft of a file with this text; "" stands for no file.
func draftOf(t *testing.T, text string) (*Draft, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if text != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := ReadDraft(path)
	return d, err
}

// What is added to which file, byte by byte.
func TestCompose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, before, more string }{
		{"no file", "", addedHead + "concurrent = 4\n\n" + addedQuota + addedSection},
		{"a file", head + section, "\n" + addedSection},
		{"a file with a blank line at its end", head + section + "\n", addedSection},
		{"no line end at the end", strings.TrimSuffix(head+section, "\n"), "\n\n" + addedSection},
		{"a comment without line end", head + section + "# the end", "\n\n" + addedSection},
		{"CRLF", crlf(head + section), crlf("\n" + addedSection)},
		{"CRLF, no line end at the end", strings.TrimSuffix(crlf(head+section), "\r\n"), crlf("\n\n" + addedSection)},
		{"a byte order mark", "\ufeff" + head + section, "\n" + addedSection},
		{"only a byte order mark", "\ufeff", addedHead + "concurrent = 4\n\n" + addedQuota + addedSection},
		{"comments only", "# mine\n", "\n" + addedHead + "concurrent = 4\n\n" + addedQuota + addedSection},
		{"what the Python program leaves when it fails", "state_file = \"/s\"\nconcurrent = 4\n", "\n" + addedQuota + addedSection},
		{"what the Python program makes", "state_file = \"/s\"\nconcurrent = 4\n\n" + section, "\n" + addedQuota + addedSection},
		{"the quota of the runner to come", strings.Replace(head, `"a"`, `"new"`, 1), "\n" + addedSection},
		{"its own number of jobs, in an older spelling", "concurrency = 2\n", "\n" + addedHead + "\n" + addedQuota + addedSection},
		{"a table at the end", head + section + "[runners.docker.sysctls]\n  x = \"1\"\n", "\n" + addedSection},
	} {
		d, err := draftOf(t, c.before)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := d.Compose(added())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := gocmp.Diff(c.before+c.more, got.Text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if line := strings.Split(got.Text, "\n")[got.Line-1]; strings.TrimSuffix(line, "\r") != "[[runners]]" || strings.Count(got.Text[strings.LastIndex(got.Text, "[[runners]]"):], "[[runners]]") != 1 {
			t.Errorf("%s: the new section is said to be in line %d: %q", c.name, got.Line, line)
		}
		if len(got.Warnings) > 0 {
			t.Errorf("%s: warnings %q", c.name, got.Warnings)
		}
	}
}

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// A file that an addition can't make good is refused before anything else happens.
func TestDraftRefusesABadFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"no TOML", "state_file = \n", "f:1: state_file: not valid TOML"},
		{"a problem in an old section", head + instead(section, `cc_orga_id = "o"`, `cc_orga_it = "o"`), "f:11: cc_orga_it: unknown key (did you mean cc_orga_id?)"},
		{"no state file, and a table already", section, "f:1: state_file: missing"},
		{"runners as a list", strings.Replace(head, "[quota", "runners = [ { name = \"a\", url = \"https://h\", token = \"t\", executor = \"local-docker\" } ]\n[quota", 1), "f:2: runners: written as a list"},
		{"an empty list of runners", "runners = []\n" + head, "f:1: runners: written as a list"},
		{"one bracket", head + strings.Replace(section, "[[runners]]", "[runners]", 1), "f:6: runners: found a table, want [[runners]] sections"},
		{"a quota that refers to nobody", strings.Replace(head, `"a"`, `"b"`, 1) + section, `f:3: reference_runner: found "b"`},
		{"a bare carriage return", head + section + "# x\r", "not valid TOML"},
	} {
		_, err := draftOf(t, c.text)
		bad, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(bad.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// Whoever registers need not have the service's environment, nor read its secrets.
func TestDraftForgivesWhatOnlyThisComputerLacks(t *testing.T) {
	t.Parallel()
	text := head + instead(instead(section, `token = "t"`, `token_file = "/nonexistent"`), `cc_token = "c"`, `cc_token = "${NOT_SET_HERE_4711}"`)
	d, err := draftOf(t, text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Compose(added())
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got.Warnings, "\n")
	if len(got.Warnings) != 2 || !strings.Contains(all, "f:9: token_file: open /nonexistent") || !strings.Contains(all, "f:12: cc_token: the environment variable NOT_SET_HERE_4711 is not set") {
		t.Errorf("warnings %q", got.Warnings)
	}
}

// What is wrong with the addition is told without a line: it is in no file.
func TestComposeRefusesABadAddition(t *testing.T) {
	t.Parallel()
	d, err := draftOf(t, head+section)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"executor", "docker", `the new [[runners]] section: executor: found "docker", which gitlab-runner runs itself`},
		{"cc_orga_it", "o", "the new [[runners]] section: cc_orga_it: unknown key (did you mean cc_orga_id?)"},
		{"name", "", "the new [[runners]] section: name: empty"},
		{"name", "a\xffb", "the new [[runners]] section: runners.name: not valid TOML: invalid UTF-8"},
		{"docker", map[string]any{"cc_token": "x"}, "the new [[runners]] section: cc_token: stands in [runners.docker]"},
	} {
		a := added()
		a.Section[c.key] = c.value
		if _, err := d.Compose(a); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s = %v: got %v, want %s", c.key, c.value, err, c.want)
		}
	}
	a := added()
	a.Section["token"], a.Section["url"] = "t", "https://h.example/"
	if _, err := d.Compose(a); err == nil || !strings.Contains(err.Error(), "the section in line 6 has the same token and URL") {
		t.Errorf("the same registration twice: %v", err)
	}
	a = added()
	a.Section["name"] = "a"
	got, err := d.Compose(a)
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "the new [[runners]] section: name: the section in line 6 has the same name") {
		t.Errorf("the same name twice: %v, %+v", err, got)
	}
}

// Texts are read back as they are, whatever is in them.
func TestLiteral(t *testing.T) {
	t.Setenv("HOME", "wrong")
	for _, name := range []string{"${HOME}", "$${HOME}", "$$${HOME}", "a ${HOME} b ${X", `"quoted" \ #`, "ä€", "${}"} {
		d, err := draftOf(t, "")
		if err != nil {
			t.Fatal(err)
		}
		a := added()
		a.Section["name"] = Literal(name)
		got, err := d.Compose(a)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		cfg, err := read(got.Text)
		if err != nil || cfg.Runners[0].Name != name || cfg.Quota.ReferenceRunner != name {
			t.Errorf("%q: %v, %+v", name, err, cfg)
		}
	}
}

// A new file is read as it was meant.
func TestNewFile(t *testing.T) {
	t.Parallel()
	d, err := draftOf(t, "")
	if err != nil || !d.New() || d.Needs() != (Needs{true, true, true}) {
		t.Fatalf("%+v, %v", d, err)
	}
	got, err := d.Compose(added())
	if err != nil {
		t.Fatal(err)
	}
	cfg := mustRead(t, got.Text)
	if cfg.StateFile != "/s" || cfg.Concurrent != 4 || cfg.Quota != (Quota{"new", "S", 3}) || len(cfg.Runners) != 1 || len(cfg.Warnings) > 0 {
		t.Errorf("%+v", cfg)
	}
	rc := cfg.Runners[0]
	if rc.Token != secret.New("glrt-new") || rc.Clever.OrgaID != "orga_1" || fmt.Sprint(rc.Forward["docker"]) != "map[image:debian:bookworm volumes:[/cache]]" {
		t.Errorf("%+v", rc)
	}
}

func TestDraftKnowsItsRunners(t *testing.T) {
	t.Parallel()
	d, err := draftOf(t, head+section)
	if err != nil {
		t.Fatal(err)
	}
	if line, ok := d.Runner("a"); !ok || line != 6 {
		t.Errorf("got %d, %v", line, ok)
	}
	if _, ok := d.Runner("b"); ok || d.Expected() != "" || d.Concurrent() != DefaultConcurrent {
		t.Error("knows what is not there")
	}
	if d, err = draftOf(t, head); err != nil || d.Expected() != "a" {
		t.Errorf("%v, expects %q", err, d.Expected())
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "template")
	for text, want := range map[string]string{
		"concurrent = 3\n[[runners]]\n  limit = 2\n":   "map[limit:2] [concurrent] <nil>",
		"[[runners]]\n[runners.docker]\n  image=\"x\"": "map[docker:map[image:x]] [] <nil>",
		"runners = [{limit = 2}]":                      "map[limit:2] [] <nil>",
		"[[runners]]\n[[runners]]\n":                   "map[] [] F:2: runners: found 2 sections, want one: a template is for one runner at a time",
		"limit = 2\n":                                  "map[] [] F:1: no [[runners]] section; a template has one",
		"= 2\n":                                        "map[] [] F:1: not valid TOML: unexpected '=': key name appears blank",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, ignored, err := Template(path)
		if line := strings.ReplaceAll(fmt.Sprint(got, ignored, err), path, "F"); line != want {
			t.Errorf("%q:\n got %s\nwant %s", text, line, want)
		}
	}
}
