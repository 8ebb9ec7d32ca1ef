// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// A file that is valid, in two parts: lines 1 to 5 and, alone, lines 1 to 9.
const (
	head    = "state_file = \"/s\"\n[quota_computation]\nreference_runner = \"a\"\nreference_flavor = \"M\"\nreference_jobs_count = 2\n"
	section = "[[runners]]\nname = \"a\"\nurl = \"https://h.example\"\ntoken = \"t\"\nexecutor = \"clever-docker\"\ncc_orga_id = \"o\"\ncc_token = \"c\"\n[runners.cc_extra_env]\nCC_ENABLE_HEPTAPOD_RUNNER = \"true\"\n"
)

// world is what the file of a test may refer to.
func world(env, files map[string]string) deps {
	return deps{
		env: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
		read: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
}

func read(text string) (*Config, error) { return parse("f", text, 0o600, world(nil, nil)) }

func mustRead(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// reveal lets go-cmp look into secrets, and past the lines of keys.
func reveal() gocmp.Option {
	return gocmp.Options{gocmp.Transformer("reveal", secret.String.Reveal), cmpopts.IgnoreUnexported(Config{})}
}

// The first full example of the documentation is valid as it stands, with all defaults.
func TestSeedExample(t *testing.T) {
	t.Parallel()
	owner, err := fleet.OwnerOf("D3adNQYu8OCjkYDbwDaG", "https://heptapod.example.com")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Path: "f", StateFile: "/srv/heptapod-runner/paas-runner-state.json",
		Concurrent: 50, CheckInterval: 3 * time.Second, JobProgressInterval: 30 * time.Second, MaxProvisioning: 10,
		MaxParked: 600 * time.Second, DecommissionLaunchFailures: true, Quota: Quota{"clever-cloud", "3XL", 8},
		Runners: []Runner{{
			Line: 8, Name: "clever-cloud", URL: "https://heptapod.example.com", Token: secret.New("D3adNQYu8OCjkYDbwDaG"),
			Owner: owner, Executor: "clever-docker", Coordinator: "https://heptapod.example.com", RequestConcurrency: 1,
			SubRunner: "relay", DependencyProxy: true, MainImage: "registry.heptapod.net:443/heptapod/heptapod-runner/runner:0.7.0",
			TraceWatch: TraceWatch{Timeout: 300 * time.Second, PollStep: 10 * time.Second},
			Clever: Clever{
				APIURL: "https://api.clever-cloud.com/v2", Zone: "par", DefaultFlavor: "M", FlavorContext: "heptapod-runner",
				VariantUUID: "70d676a0-a775-4dc9-a43d-3121036e8515", AuthUser: "Jenkins",
				OrgaID: "orga_07cf2ef0-c9ad-4f04-b492-94c164f95c76", Token: secret.New("bb52e490-d47e-47a4-b190-73e23eb17111"),
				RepoTimeout: 20 * time.Second, RepoWaitStep: 2 * time.Second, ExtraEnv: map[string]string{"CC_ENABLE_HEPTAPOD_RUNNER": "true"},
				OrgaIDAttribute: "cc_orga_id", OrgaTokenAttribute: "cc_orga_token",
				Auth: Auth{Scheme: "token", OAuthSignature: "plaintext"},
			},
			Forward: map[string]any{
				"name": "clever-cloud", "url": "https://heptapod.example.com", "executor": "clever-docker",
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
			},
		}},
		Warnings: []string{},
	}
	if diff := gocmp.Diff(want, mustRead(t, testdata(t, "seed-single.toml")), reveal()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The second full example is understood; that its mode is not there yet is all that is
// said about it.
func TestSeedExampleOfManyTenants(t *testing.T) {
	t.Parallel()
	text := testdata(t, "seed-multi.toml")
	cfg := mustRead(t, text)
	c := cfg.Runners[0].Clever
	if !c.MultiTenant || c.NamespaceToken.Reveal() != "D7aY5I5SygxA5oyZ11vB" || c.OrgaIDAttribute != "cc_orga_id" || c.OrgaTokenAttribute != "cc_orga_token" {
		t.Errorf("%+v", c)
	}
	_, err := read(strings.Replace(text, "cc_gitlab_namespace_attributes_token", "# ", 1))
	if want := "cc_gitlab_namespace_attributes_token: missing; the multi-tenant mode reads each top-level group's attributes with it"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A file that gitlab-runner wrote needs our own keys and nothing else, and what is not
// ours reaches the sub-runner with its types.
func TestFileOfGitLabRunner(t *testing.T) {
	t.Parallel()
	cfg := mustRead(t, testdata(t, "registered.toml"))
	if len(cfg.Warnings) != 0 {
		t.Errorf("warnings: %q", cfg.Warnings)
	}
	if cfg.CheckInterval != DefaultCheckInterval || cfg.Concurrent != 4 || cfg.LogLevel != "warn" || cfg.LogFormat != "" || !filepath.IsAbs(cfg.StateFile) {
		t.Errorf("globals: %+v", cfg)
	}
	rc := cfg.Runners[0]
	if rc.RequestConcurrency != 1 || rc.Clever.ExtraEnv["CC_ENABLE_HEPTAPOD_RUNNER"] != "true" {
		t.Errorf("runner: %+v", rc)
	}
	want := map[string]any{
		"name": "reg", "url": "https://gitlab.example.com/", "executor": "clever-docker", "id": int64(7), "request_concurrency": int64(0),
		"token_obtained_at": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "token_expires_at": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		"environment": []any{"A=${B}", "C=$D"}, "pre_build_script": "echo \"[[runners]]\"\nstate_file = \"no\"\n",
		"feature_flags": map[string]any{"FF_NETWORK_PER_BUILD": true},
		"cache":         map[string]any{"MaxUploadedArchiveSize": int64(0), "s3": map[string]any{}},
		"docker": map[string]any{
			"cpus": "2", "ratio": 3.0, "volumes": []any{"/cache"}, "sysctls": map[string]any{"net.core.somaxconn": "1024"},
			"services": []map[string]any{{"name": "postgres:16"}, {"name": "redis:7"}},
		},
	}
	if diff := gocmp.Diff(want, rc.Forward); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
}

// Nothing of ours is forwarded, however it is written.
func TestOursIsNotForwarded(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"limit": "3", "request_concurrency": "3", "paas_owner": `"abcdefghij"`, "paas_relay_subnet": `"10.0.0.0/24"`, "cc_multi_tenant": "false", "paas_dependency_proxy": "false",
		"cc_api_url": `"https://x"`, "admission": `"strict"`, "sub_runner": `"relay"`, "job_trace_watch": "{}", "cc_allowed_flavors": `["M"]`,
		"cc_auth": `"oauth1"`, "cc_oauth_signature": `"plaintext"`,
	}
	exclusive := []string{"cc_auth_user"} // stands in the way of another key
	var lines strings.Builder
	for _, k := range Keys() {
		if k.Section != secRunner || k.Forwarded || strings.Contains(section, k.Name+" =") || k.Name == "cc_extra_env" || slices.Contains(exclusive, k.Name) {
			continue
		}
		value := cmp.Or(values[k.Name], `"x"`)
		if k.Kind == Seconds {
			value = "3"
		}
		fmt.Fprintf(&lines, "%s = %s\n", k.Name, value)
	}
	text := strings.Replace(section, "[runners.cc", lines.String()+"cc_something_else = 1\nkept = 1\n[runners.cc", 1)
	text = strings.Replace(text, `cc_token = "c"`, "", 1) // cc_oauth_token takes its place
	cfg := mustRead(t, head+text)
	got := strings.Join(sorted(maps.Keys(cfg.Runners[0].Forward)), " ")
	if want := "executor kept name url"; got != want {
		t.Errorf("forwarded: %s, want %s", got, want)
	}
}

// Every key in the table is read: a value that no key can have is refused for each.
func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	for _, k := range Keys() {
		spellings := k.spellings()
		if k.Kind == Secret {
			spellings = append(spellings, k.Name+fileSuffix)
		}
		for _, name := range spellings {
			line := name + " = 1979-05-27\n"
			text := line + head + section
			switch {
			case name == secQuota:
				text = "state_file = \"/s\"\n" + line + section
			case name == secRunner:
				text = line + head
			case k.Section == secQuota:
				text = "state_file = \"/s\"\n[quota_computation]\n" + line + without(head, 2, name) + section
			case k.Section == secRunner:
				text = head + "[[runners]]\n" + line + without(section, 1, strings.TrimSuffix(name, fileSuffix))
				if slices.ContainsFunc(dockerKeys(), func(d Key) bool { return d.Name == name }) {
					text = strings.Replace(text, ExecutorClever, ExecutorDocker, 1)
				}
			case k.Section == secWatch:
				text = head + section + "[runners.job_trace_watch]\n" + line
			case name == "state_file":
				text = line + without(head, 0, name) + section
			}
			_, err := read(text)
			if err == nil || !strings.Contains(err.Error(), ": "+name+": found a date, want ") {
				t.Errorf("%s %s is not looked at: %v", k.Section, name, err)
			}
		}
	}
}

// without cuts lines off the top of a text, and the line of a key.
func without(text string, lines int, key string) string {
	var out []string
	for _, line := range strings.SplitAfter(text, "\n")[lines:] {
		if !strings.HasPrefix(line, key+" ") && !(key == "cc_extra_env" && (strings.HasPrefix(line, "[runners.cc") || strings.HasPrefix(line, "CC_"))) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func TestRunnersOfTwoCoordinators(t *testing.T) {
	t.Parallel()
	second := strings.NewReplacer(`"a"`, `"b"`, "h.example", "i.example").Replace(section)
	cfg := mustRead(t, head+section+second+"[runners.docker]\nimage = \"x\"\n")
	a, b := cfg.Runners[0], cfg.Runners[1]
	if a.Owner == b.Owner || a.Line != 6 || b.Line != 15 || b.Forward["docker"] == nil || a.Forward["docker"] != nil {
		t.Errorf("%+v\n%+v", a, b)
	}
	pinned := mustRead(t, head+strings.Replace(section, "token =", "paas_owner = \"abcdefgh23\"\ntoken =", 1))
	if got := pinned.Runners[0].Owner; got != "abcdefgh23" {
		t.Errorf("owner %q is not the pinned one", got)
	}
}

// Sections may be written as inline tables.
func TestInlineSections(t *testing.T) {
	t.Parallel()
	cfg := mustRead(t, `state_file = "/s"
quota_computation = { reference_runner = "a", reference_flavor = "M", reference_jobs_count = 2.0 }
runners = [
  # the only one
  { name = "a", url = "https://h.example", token = "t", executor = "local-docker", host = "unix:///run/d.sock", docker = { image = "x" } },
]
`)
	want := map[string]any{"name": "a", "url": "https://h.example", "executor": "local-docker", "docker": map[string]any{"image": "x"}}
	if diff := gocmp.Diff(want, cfg.Runners[0].Forward); diff != "" {
		t.Error(diff)
	}
	if rc := cfg.Runners[0]; rc.Line != 5 || rc.Docker.Host != "unix:///run/d.sock" || cfg.Quota.ReferenceJobs != 2 {
		t.Errorf("%+v", cfg)
	}
}

func TestTraceWatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"none", head + section, " 5m0s 10s"},
		{"of the section", head + section + "[runners.job_trace_watch]\ntoken = \"w\"\ntimeout_seconds = 11\npoll_step = 0.5\n", "w 11s 500ms"},
		{"as the program read it", head + section + "[runners.paas_job_trace_watch]\ntimeout_seconds = 11\n", " 11s 10s"},
		{"as the documentation spells it", head + section + "[runners.job_trace_watch]\ntimout_seconds = 11\n", " 11s 10s"},
		{"of the file", head + "[job_trace_watch]\ntoken = \"w\"\ntimeout_seconds = 11\n" + section, "w 11s 10s"},
		{"of both", head + "[job_trace_watch]\ntoken = \"w\"\ntimeout_seconds = 11\npoll_step = 4\n" + section + "[runners.job_trace_watch]\ntimeout_seconds = 12\n", "w 12s 4s"},
	} {
		w := mustRead(t, c.text).Runners[0].TraceWatch
		if got := fmt.Sprintf("%s %s %s", w.Token.Reveal(), w.Timeout, w.PollStep); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("token", "from-file\n", 0o600)
	kept := strings.NewReplacer(`token = "t"`, `token_file = "token"`, `cc_token = "c"`, `cc_token_file = "token"`).Replace(section)
	for _, c := range []struct{ name, path, want string }{
		{"private", write("a", head+section, 0o600), ""},
		{"the group may read", write("b", head+section, 0o640), ""},
		{"all may read it, and it holds a token", write("c", head+section, 0o644),
			"c:9: the file is readable by others (mode 0644), and here it holds a secret: chmod 600 it, or put the secret into a file of its own"},
		{"all may read it, and it holds none", write("d", head+kept, 0o644), ""},
		{"a secret of the cache", write("e", head+kept+"[runners.cache.s3]\nSecretKey = \"x\"\n", 0o644),
			"e:16: the file is readable by others (mode 0644), and here it holds a secret: chmod 600 it, or put the secret into a file of its own"},
	} {
		cfg, err := Load(c.path)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := strings.ReplaceAll(strings.Join(cfg.Warnings, "\n"), dir+"/", ""); got != c.want {
			t.Errorf("%s: got warnings\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
	for name, path := range map[string]string{
		"no such file or directory": filepath.Join(dir, "none"), "is a folder": dir,
		"is larger than 1 MiB": write("big", strings.Repeat("#\n", 1<<20), 0o600),
	} {
		_, err := Load(path)
		if _, is := errors.AsType[*Error](err); err == nil || is || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}
