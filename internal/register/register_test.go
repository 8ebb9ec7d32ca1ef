// SPDX-License-Identifier: Apache-2.0

package register_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/register"
	"heptapod-paas-runner/internal/secret"
)

func TestANewFileWithARegistrationToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.TagList, o.RunUntagged, o.Paused, o.AccessLevel, o.MaximumTimeout, o.MaintenanceNote = " a, b,", yes(true), yes(true), "ref_protected", "600", "note"
	got := b.run(o)
	b.good(got)
	cfg := b.load()
	if cfg.Concurrent != 4 || cfg.Quota != (config.Quota{ReferenceRunner: "one", ReferenceFlavor: "M", ReferenceJobs: 4}) || len(cfg.Runners) != 1 || cfg.StateFile != filepath.Join(b.dir, "state.db") {
		t.Errorf("%+v", cfg)
	}
	if info, err := os.Stat(b.file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	var known map[string]any
	b.ask("/api/v4/runners/2", &known)
	want := map[string]any{
		"description": "one", "tag_list": []any{"a", "b"}, "run_untagged": true, "paused": true, "active": false, "locked": true,
		"access_level": "ref_protected", "maximum_timeout": 600.0, "maintenance_note": "note",
		"id": 2.0, "is_shared": true, "online": true, "runner_type": "instance_type", "status": "online",
	}
	if diff := cmp.Diff(want, known); diff != "" {
		t.Error(diff)
	}
	if b.called() != "POST /api/v4/runners" {
		t.Errorf("called %s", b.called())
	}
	wantOut := fmt.Sprintf("The runner \"one\" is registered at %s (number 2), and stands in %s from line 12 on.\n", b.url, b.file)
	if got.out != wantOut || !strings.Contains(got.say, "It is paused") || !strings.Contains(got.say, "check "+b.file) {
		t.Errorf("out %s\nsay %s", got.out, got.say)
	}
	if token := cfg.Runners[0].Token.Reveal(); token == "" || strings.Contains(got.out+got.say, token) || strings.Contains(got.say, "sim-registration-token") {
		t.Errorf("a token is shown: %s %s", got.out, got.say)
	}
}

func TestAGlrtTokenIsVerifiedAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write(valid)
	got := b.run(register.Options{
		NonInteractive: yes(true), URL: b.url + "/", Token: secret.New("glrt-new"), Name: "new", Executor: "clever-docker",
		CCOrgaID: "orga_1", CCToken: secret.New("${CC}"), Limit: "3", CCZone: "rbx", DockerImage: "alpine",
	})
	b.good(got)
	want := valid + `
[[runners]]
  name = "new"
  url = "` + b.url + `/"
  token = "glrt-new"
  executor = "clever-docker"
  limit = 3
  cc_orga_id = "orga_1"
  cc_token = "${CC}"
  cc_zone = "rbx"
  [runners.cc_extra_env]
    CC_ENABLE_HEPTAPOD_RUNNER = "true"
  [runners.docker]
    image = "alpine"
`
	if diff := cmp.Diff(want, b.text()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(got.say, "SIGHUP") || !strings.Contains(got.say, "the environment variable CC is not set") || !strings.Contains(got.out, "is known at") {
		t.Errorf("says %s%s", got.out, got.say)
	}
	if b.called() != "POST /api/v4/runners/verify, DELETE /api/v4/runners/managers" {
		t.Errorf("called %s", b.called())
	}
	var managers []any
	if b.ask("/api/v4/runners/2/managers", &managers); len(managers) != 0 {
		t.Errorf("the coordinator keeps %v", managers)
	}
}

func TestTheMultiTenantMode(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.Executor, o.CCMultiTenant, o.CCNamespaceToken, o.QuotaFlavor, o.QuotaJobs = "clever-docker", yes(true), secret.New("glpat-x"), "3XL", "8"
	b.good(b.run(o))
	cfg := b.load()
	if c := cfg.Runners[0].Clever; !c.MultiTenant || c.NamespaceToken.Reveal() != "glpat-x" || c.OrgaID != "" || len(cfg.Warnings) > 0 {
		t.Errorf("%+v %q", c, cfg.Warnings)
	}
	if cfg.Quota != (config.Quota{ReferenceRunner: "one", ReferenceFlavor: "3XL", ReferenceJobs: 8}) {
		t.Errorf("%+v", cfg.Quota)
	}
}

// A new file with clever-docker is good without a warning, and its quota is what was
// asked for at most.
func TestANewFileForCleverCloud(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.Executor, o.CCOrgaID, o.CCTokenFile = "clever-docker", "orga_1", filepath.Join(b.dir, "cc")
	if err := os.WriteFile(o.CCTokenFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.good(b.run(o))
	cfg := b.load()
	if len(cfg.Warnings) > 0 || cfg.Runners[0].Clever.Token.Reveal() != "secret" || cfg.Quota != (config.Quota{ReferenceRunner: "one", ReferenceFlavor: "M", ReferenceJobs: 4}) {
		t.Errorf("%+v", cfg)
	}
}

// -t takes both kinds of token, as an authentication token first.
func TestEitherToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.Token, o.RegistrationToken, o.TagList = o.RegistrationToken, secret.String{}, "a"
	b.good(b.run(o))
	if b.called() != "POST /api/v4/runners/verify, POST /api/v4/runners" || len(b.runners()) != 1 {
		t.Errorf("called %s, made %v", b.called(), b.runners())
	}
	// An authentication token of the old kind can't be given tags either.
	o.Token, o.Name = b.load().Runners[0].Token, "two"
	if got := b.run(o); got.code != 3 || !strings.Contains(got.err.Error(), "the same token and URL") {
		t.Errorf("ended with %d: %v", got.code, got.err)
	}
	o.Token = secret.New("sim-runner-token")
	if got := b.run(o); got.code != 2 || !strings.Contains(got.err.Error(), "--tag-list ($RUNNER_TAG_LIST) can't go with a token of a runner that is there already") {
		t.Errorf("ended with %d: %v", got.code, got.err)
	}
	o.TagList = ""
	b.good(b.run(o))
	// A glrt- token in the place of a registration token is what it looks like.
	o.Token, o.RegistrationToken, o.Name = secret.String{}, secret.New("glrt-three"), "three"
	b.good(b.run(o))
	if cfg := b.load(); len(cfg.Runners) != 3 || cfg.Runners[2].Token.Reveal() != "glrt-three" {
		t.Errorf("%+v", cfg.Runners)
	}
}

// The names are those of gitlab-runner; an empty variable is none.
func TestEverythingFromTheEnvironment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = map[string]string{
		"CONFIG_FILE": b.file, "REGISTER_NON_INTERACTIVE": "true", "CI_SERVER_URL": b.url, "REGISTRATION_TOKEN": " sim-registration-token\n",
		"RUNNER_NAME": "env", "RUNNER_EXECUTOR": "clever-docker", "RUNNER_TAG_LIST": "x", "REGISTER_RUN_UNTAGGED": "", "REGISTER_LOCKED": "false",
		"REGISTER_MAXIMUM_TIMEOUT": "3600", "REGISTER_ACCESS_LEVEL": "not_protected", "REGISTER_PAUSED": "0", "CI_SERVER_TOKEN": "",
		"REGISTER_STATE_FILE_PATH": "/s", "REGISTER_MAX_CONCURRENCY": "2", "CC_ORGA_ID": "orga_1", "CC_TOKEN": "t", "RUNNER_LIMIT": "0",
	}
	b.good(b.run(register.Options{Config: []string{b.url}}))
	var known struct {
		Locked      bool
		RunUntagged bool `json:"run_untagged"`
		Timeout     int  `json:"maximum_timeout"`
	}
	b.ask("/api/v4/runners/2", &known)
	if known.Locked || known.RunUntagged || known.Timeout != 3600 || b.load().Runners[0].Clever.OrgaID != "orga_1" {
		t.Errorf("%+v", known)
	}
	b.env["REGISTER_PAUSED"] = "perhaps"
	if got := b.run(register.Options{}); got.code != 2 || got.err.Error() != `REGISTER_PAUSED: found "perhaps", want true or false` {
		t.Errorf("%d, %v", got.code, got.err)
	}
}

// All that is missing is named at once, with its environment variable, and nothing is
// asked of anybody.
func TestWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	got := b.run(register.Options{NonInteractive: yes(true)})
	b.refused("nothing given", got, 2,
		"--state-file-path ($REGISTER_STATE_FILE_PATH)", "--max-concurrency ($REGISTER_MAX_CONCURRENCY)", "--url ($CI_SERVER_URL)",
		"--token ($CI_SERVER_TOKEN) or --registration-token ($REGISTRATION_TOKEN)", "--name ($RUNNER_NAME)", "--executor ($RUNNER_EXECUTOR)")
	got = b.run(register.Options{NonInteractive: yes(true), Executor: "clever-docker"})
	b.refused("clever-docker", got, 2, "--cc-orga-id ($CC_ORGA_ID)", "--cc-token ($CC_TOKEN)")
	got = b.run(register.Options{NonInteractive: yes(true), Executor: "clever-docker", CCMultiTenant: yes(true)})
	b.refused("multi-tenant", got, 2, "--cc-gitlab-namespace-attributes-token ($CC_GITLAB_NAMESPACE_ATTRIBUTES_TOKEN)")
	if strings.Contains(got.err.Error(), "CC_ORGA_ID") {
		t.Errorf("asks for the organisation: %v", got.err)
	}
	got = b.run(register.Options{NonInteractive: yes(true), Config: []string{" "}})
	b.refused("no file", got, 2, "CONFIG or --config ($CONFIG_FILE)", "--url")
	got = b.run(register.Options{Config: []string{" "}})
	b.refused("no file, and somebody to ask", got, 2, "name the configuration file: register CONFIG")
	if b.called() != "" || got.say != "" {
		t.Errorf("called %s, said %s", b.called(), got.say)
	}
}

func TestOptionsThatCanNotBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write(valid)
	for name, c := range map[string]struct {
		change func(o *register.Options)
		says   []string
	}{
		"an executor of gitlab-runner": {func(o *register.Options) { o.Executor = "docker" }, []string{`--executor ($RUNNER_EXECUTOR): found "docker", which gitlab-runner runs itself; here it is "clever-docker"`}},
		"a replaced executor":          {func(o *register.Options) { o.Executor = "clever-service-docker" }, []string{`which is replaced by "clever-docker"`}},
		"a misspelled one":             {func(o *register.Options) { o.Executor = "clever_docker" }, []string{"did you mean clever-docker?"}},
		"no URL":                       {func(o *register.Options) { o.URL = "heptapod.example.com" }, []string{"--url ($CI_SERVER_URL): want a URL such as"}},
		"a password in the URL":        {func(o *register.Options) { o.URL = "https://u:pw@h.example" }, []string{"holds a user or password"}},
		"several at once":              {func(o *register.Options) { o.URL, o.Executor, o.Name = "x", "y", "a\tb" }, []string{"--url", "--executor", "--name ($RUNNER_NAME): holds a character"}},
		"two coordinators":             {func(o *register.Options) { o.Config = []string{"https://other.example"} }, []string{"two coordinators: " + b.url + " and https://other.example"}},
		"two files":                    {func(o *register.Options) { o.File, o.Config = b.file, []string{"other.toml"} }, []string{"two configuration files", "a -c that is meant as the coordinator begins with https://"}},
		"two tokens":                   {func(o *register.Options) { o.Token = secret.New("glrt-1") }, []string{"--token ($CI_SERVER_TOKEN) and --registration-token ($REGISTRATION_TOKEN) exclude each other"}},
		"a token with white space":     {func(o *register.Options) { o.RegistrationToken = secret.New("a b") }, []string{"holds white space"}},
		"reserved options": {func(o *register.Options) {
			o.Token, o.RegistrationToken = secret.New("glrt-1"), secret.String{}
			o.TagList, o.Locked, o.RunUntagged, o.Paused, o.AccessLevel, o.MaximumTimeout, o.MaintenanceNote = "a", yes(false), yes(true), yes(true), "ref_protected", "600", "n"
		}, []string{"--tag-list ($RUNNER_TAG_LIST) can't go with a glrt-... token", "--locked (", "--run-untagged (", "--paused (", "--access-level (", "--maximum-timeout (", "--maintenance-note ("}},
		"an access level":     {func(o *register.Options) { o.AccessLevel = "all" }, []string{"want not_protected or ref_protected"}},
		"a timeout":           {func(o *register.Options) { o.MaximumTimeout = "1h" }, []string{`--maximum-timeout ($REGISTER_MAXIMUM_TIMEOUT): found "1h", want a whole number`}},
		"half a certificate":  {func(o *register.Options) { o.TLSCertFile = "x" }, []string{"go together"}},
		"two kinds of payers": {func(o *register.Options) { o.CCMultiTenant, o.CCOrgaID, o.CCTokenFile = yes(true), "o", "f" }, []string{"--cc-multi-tenant ($CC_MULTI_TENANT) and --cc-orga-id", "and --cc-token"}},
	} {
		o := b.newFile()
		c.change(&o)
		b.refused(name, b.run(o), 2, c.says...)
	}
	o := b.newFile()
	o.TLSCAFile = "/nonexistent"
	b.refused("no such CA file", b.run(o), 1, "/nonexistent")
	if b.called() != "" || b.text() != valid {
		t.Errorf("called %s, wrote %s", b.called(), b.text())
	}
}

// What asks for nothing may go with any token.
func TestReservedOptionsThatAskForNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.Token, o.RegistrationToken, o.Paused, o.RunUntagged, o.MaximumTimeout = secret.New("glrt-1"), secret.String{}, yes(false), yes(false), "0"
	b.good(b.run(o))
}

func TestAFileThatCanNotBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for text, want := range map[string]string{
		strings.Replace(valid, "executor", "executer", 1):     "executor: missing (line 11 has executer: did you mean executor?)",
		"runners = []\n" + valid[:strings.Index(valid, "[[")]: "runners: written as a list",
		"state_file = \n": "not valid TOML",
	} {
		b.write(text)
		b.refused(want, b.run(b.newFile()), 3, b.file+":", want)
		if b.text() != text {
			t.Errorf("the file changed: %s", b.text())
		}
	}
	o := b.newFile()
	o.File = filepath.Join(b.dir, "none", "x.toml")
	b.refused("no folder", b.run(o), 1, "make "+filepath.Join(b.dir, "none")+" first")
	o.File = b.dir
	b.refused("a folder", b.run(o), 1, "is a folder")
	if b.called() != "" {
		t.Errorf("called %s", b.called())
	}
}
