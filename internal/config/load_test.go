// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func noEnv(string) (string, bool) { return "", false }

// The first full example of the documentation is valid as it stands.
func TestSeedExample(t *testing.T) {
	raw, err := os.ReadFile("testdata/seed-single.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parse("paas-runner.toml", string(raw), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) != 0 {
		t.Errorf("warnings: %q", cfg.Warnings)
	}
	if cfg.StateFile != "/srv/heptapod-runner/paas-runner-state.json" || cfg.Concurrent != 50 || cfg.CheckInterval != 3*time.Second ||
		cfg.JobProgressInterval != 30*time.Second || cfg.MaxProvisioning != 10 || cfg.KeepFinished || !cfg.DecommissionLaunchFailures {
		t.Errorf("globals: %+v", cfg)
	}
	if cfg.Quota != (Quota{"clever-cloud", "3XL", 8}) {
		t.Errorf("quota: %+v", cfg.Quota)
	}
	r := cfg.Runners[0]
	c := r.Clever
	if r.Line != 9 || r.Token.Reveal() != "D3adNQYu8OCjkYDbwDaG" || len(r.Owner) != 10 || r.SubRunner != ModeRelay || r.MainImage != DefaultMainImage ||
		r.TraceWatch.Timeout != 300*time.Second || r.TraceWatch.PollStep != 10*time.Second ||
		c.OrgaID != "orga_07cf2ef0-c9ad-4f04-b492-94c164f95c76" || c.Token.Reveal() != "bb52e490-d47e-47a4-b190-73e23eb17111" ||
		c.Zone != "par" || c.DefaultFlavor != "M" || c.AuthUser != "Jenkins" || c.RepoTimeout != 20*time.Second || c.RepoWaitStep != 2*time.Second {
		t.Errorf("runner: %+v", r)
	}
	if diff := cmp.Diff(map[string]string{"CC_ENABLE_HEPTAPOD_RUNNER": "true"}, c.ExtraEnv); diff != "" {
		t.Error(diff)
	}
	want := map[string]any{
		"name": "clever-cloud", "url": "https://heptapod.example.com", "token": "D3adNQYu8OCjkYDbwDaG", "executor": "clever-docker",
		"custom_build_dir": map[string]any{},
		"cache": map[string]any{"gcs": map[string]any{}, "s3": map[string]any{
			"ServerAddress": "cellar-c2.services.clever-cloud.com", "AccessKey": "dEA7gjmYM98gobVi6Y1x",
			"SecretKey": "v0tdpjgpsDRqaSvIndvHAXFmjbpEd958gbZuO7yv", "BucketName": "heptapod-ci",
		}},
		"docker": map[string]any{
			"helper_image": "registry.heptapod.net/heptapod/heptapod-runner/helper:x86_64-latest", "tls_verify": false, "image": "debian:bullseye",
			"privileged": false, "disable_entrypoint_overwrite": false, "oom_kill_disable": false, "disable_cache": false,
			"volumes": []any{"/cache"}, "shm_size": int64(0),
		},
	}
	if diff := cmp.Diff(want, r.Forward); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
}

const head = "state_file = \"/s\"\n[quota_computation]\nreference_runner = \"a\"\nreference_flavor = \"M\"\nreference_jobs_count = 2\n"
const section = "[[runners]]\nname = \"a\"\nurl = \"https://h.example\"\ntoken = \"t\"\nexecutor = \"clever-docker\"\ncc_orga_id = \"o\"\ncc_token = \"c\"\n[runners.cc_extra_env]\nCC_ENABLE_HEPTAPOD_RUNNER = \"true\"\n"

// Everything that is wrong is said at once, with lines.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"syntax", "state_file = \n", []string{`f:1: not valid TOML`}},
		{"nothing at all", "", []string{
			"f:1: no [[runners]] section", "f:1: state_file: missing; it is where running jobs are recorded. Add this line",
			"f:1: quota_computation: missing; it limits what runs (and costs) at once."}},
		{"the lines to paste name the runner", "state_file=\"/s\"\n" + section, []string{"f:1: quota_computation: missing", `reference_runner = "a"`}},
		{"types and ranges", "concurrent = 0\ncheck_interval = \"3\"\npaas_finished_jobs_keep_resources = 1\n" + head + section, []string{
			"f:1: concurrent: found 0, want a whole number of at least 1", "f:2: check_interval: found a string, want a number of seconds",
			"f:3: paas_finished_jobs_keep_resources: found 1, want true or false"}},
		{"reference runner", strings.Replace(head, `"a"`, `"aa"`, 1) + section, []string{`f:3: reference_runner: found "aa", want the name of a [[runners]] section: ["a"]`}},
		{"executor", head + strings.Replace(section, "clever-docker", "docker", 1), []string{`f:10: executor: found "docker", want one of: clever-docker, local-docker`}},
		{"executor that is replaced", head + strings.Replace(section, "clever-docker", "clever-service-docker", 1), []string{`f:10: executor: found "clever-service-docker": it is replaced by "clever-docker"`}},
		{"missing keys of a runner", head + "[[runners]]\nexecutor = \"clever-docker\"\n", []string{
			"f:6: name: missing; it is required", "f:6: url: missing; it is required", "f:6: token: missing; set it, or token_file", "f:6: cc_orga_id: missing", "f:6: cc_token: missing; set it, or cc_token_file"}},
		{"misspelled key of ours", head + strings.Replace(section, "cc_orga_id", "cc_zome = \"par\"\ncc_orga_id", 1), []string{"f:11: cc_zome: unknown key (did you mean cc_zone?)"}},
		{"url", head + strings.Replace(section, "https://", "ftp://", 1), []string{`f:8: url: coordinator URL "ftp://h.example": want http:// or https://`}},
		{"same registration twice", head + section + section, []string{"the section in line 6 has the same token and URL"}},
		{"unset variable", head + strings.Replace(section, `"c"`, `"${NO_SUCH}"`, 1), []string{"f:12: cc_token: the environment variable NO_SUCH is not set"}},
		{"both spellings", "job_progress_interval = 3\njob_progress_poll_interval = 4\n" + head + section, []string{"f:1: job_progress_interval: job_progress_poll_interval says the same"}},
		{"one bracket", head + strings.Replace(section, "[[runners]]", "[runners]", 1), []string{"f:6: runners: found a table, want [[runners]] sections"}},
		{"file and value", head + strings.Replace(section, "cc_token", "cc_token_file = \"x\"\ncc_token", 1), []string{"f:12: cc_token_file: cc_token is set too"}},
		{"unreadable file", head + strings.Replace(section, `cc_token = "c"`, `cc_token_file = "/no/such/file"`, 1), []string{"f:12: cc_token_file: open /no/such/file"}},
		{"key after a long string", "a = \"\"\"\n[x]\nb = 1\n\"\"\"\nc = [ # ]\n 1,\n]\nconcurrent = -1\n" + head + section, []string{"f:8: concurrent: found -1"}},
	} {
		_, err := parse("f", c.text, noEnv)
		problems, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: got %v, want an *Error", c.name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(problems.Error(), want) {
				t.Errorf("%s: %q is missing in:\n%s", c.name, want, problems)
			}
		}
	}
}

func TestSpellingsAndWarnings(t *testing.T) {
	text := "job_progress_interval = 7\npass_decommision_launched_failures = false\nconcurent = 3\n" + head +
		strings.Replace(section, "[runners.cc_extra_env]", "[runners.job_trace_watch]\ntimout_seconds = 9\npoll_step = 0.5\n[runners.cc_extra_env]", 1)
	cfg, err := parse("f", text, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.JobProgressInterval != 7*time.Second || cfg.DecommissionLaunchFailures || cfg.Runners[0].TraceWatch.Timeout != 9*time.Second ||
		cfg.Runners[0].TraceWatch.PollStep != 500*time.Millisecond {
		t.Errorf("an older spelling has no effect: %+v", cfg)
	}
	want := []string{
		"f:1: job_progress_interval: accepted; the preferred spelling is job_progress_poll_interval",
		"f:2: pass_decommision_launched_failures: accepted; the preferred spelling is paas_decommission_launch_failures",
		"f:17: timout_seconds: accepted; the preferred spelling is timeout_seconds",
		"f:3: concurent: unknown key (did you mean concurrent?)",
	}
	if diff := cmp.Diff(want, cfg.Warnings); diff != "" {
		t.Error(diff)
	}
	for _, where := range []string{"[job_trace_watch]\ntimeout_seconds = 11\n" + section, section + "[runners.paas_job_trace_watch]\ntimeout_seconds = 11\n"} {
		cfg, err := parse("f", head+where, noEnv)
		if err != nil || cfg.Runners[0].TraceWatch.Timeout != 11*time.Second {
			t.Errorf("%v: %+v", err, cfg)
		}
	}
}

func TestValuesFromEnvironmentAndFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tok"), []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := head + strings.NewReplacer(`token = "t"`, `token_file = "tok"`, `"c"`, `"x-${CC}-y"`).Replace(section) + "[runners.docker]\nimage = \"${KEEP}\"\n"
	cfg, err := parse(filepath.Join(dir, "f.toml"), text, func(name string) (string, bool) { return "in-env", name == "CC" })
	if err != nil {
		t.Fatal(err)
	}
	r := cfg.Runners[0]
	if r.Token.Reveal() != "from-file" || r.Clever.Token.Reveal() != "x-in-env-y" {
		t.Errorf("token %q, cc_token %q", r.Token.Reveal(), r.Clever.Token.Reveal())
	}
	if image := r.Forward["docker"].(map[string]any)["image"]; image != "${KEEP}" {
		t.Errorf("the forwarded part was changed: %q", image)
	}
	if _, ok := r.Forward["token_file"]; ok {
		t.Error("token_file is forwarded")
	}
}

func TestOthersMayNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(path, []byte(head+section), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path)
	if err != nil || len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "readable by others (mode 0644)") {
		t.Errorf("%v, %+v", err, cfg)
	}
}

// Every key in the table is in the documentation with its default, and the reverse.
func TestDocumentation(t *testing.T) {
	raw, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		documented[strings.Trim(strings.TrimSpace(cells[1]), "`")] = strings.Trim(strings.TrimSpace(cells[2]), "`")
	}
	for _, k := range Keys() {
		name := k.Name
		if k.Section != secGlobal && k.Section != secRunner {
			name = k.Section + "." + k.Name
		}
		got, ok := documented[name]
		if !ok {
			t.Errorf("%s is not documented", name)
		} else if want := k.Default; !k.Alias && got != want {
			t.Errorf("%s: documented default %q, in the code %q", name, got, want)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is documented but unknown to the code", name)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(head + section)
	f.Add("a.b.'c d'.\"e\\\"f\" = [ [1], { x = \"]\" } ]\n[[runners]]\n[[runners.x]]\n[runners.x.y]\n")
	f.Add("[runners.0]\nx=1e400\n")
	f.Fuzz(func(t *testing.T, text string) {
		if cfg, err := parse("f", text, noEnv); err == nil && (cfg.Concurrent < 1 || cfg.StateFile == "" || len(cfg.Runners) == 0) {
			t.Errorf("accepted, but not usable: %+v", cfg)
		}
	})
}
