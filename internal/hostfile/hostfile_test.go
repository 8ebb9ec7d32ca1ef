// SPDX-License-Identifier: Apache-2.0

package hostfile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/secret"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const runnerToken = "glrt-t1_Abc_efgh1CANARYRUNNERTOKEN"

func host() hostfile.Host {
	nonce := secret.New("nonce of the job")
	return hostfile.Host{
		Mode:        hostfile.ModeRelay,
		MainImage:   "registry.heptapod.net:443/heptapod/heptapod-runner/runner:0.7.0",
		RelayBinary: []byte("\x7fELF relay"),
		RunnerName:  "heptapod-clever",
		Forward: map[string]any{
			"limit":       int64(20),
			"environment": []any{"GIT_SSL_NO_VERIFY=0"},
			"cache": map[string]any{
				"Type": "s3", "Shared": false,
				"s3": map[string]any{"BucketName": "ci-cache", "AccessKey": "operator's own"},
			},
			"docker": map[string]any{
				"image": "debian:bookworm", "privileged": false, "network_mode": "host",
				"volumes":  []any{"/cache"},
				"services": []map[string]any{{"name": "docker:dind", "alias": "docker"}},
			},
			"feature_flags": map[string]any{"FF_USE_FASTZIP": true},
		},
		Coordinator: "https://foss.heptapod.test", CoordinatorURL: "https://foss.heptapod.test/",
		Payload: []byte(`{"id":100001,"token":"glcbt-64_job","job_info":{"name":"x","project_id":1}}`),
		JobID:   100001, Git: true,
		Key:     "hpd-job-abcdefgh23-100001",
		StandIn: hostfile.StandIn(secret.New(runnerToken), nonce), NoticeBearer: hostfile.NoticeBearer(nonce),
		NoticeURL:   "https://manager.test/api/v1/notice",
		PrefixBytes: 123, PrefixCRC32: 0x0a1b2c3d,
		AcquiredAt: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Timeout: time.Hour,
	}
}

func render(t *testing.T, h hostfile.Host) map[string]fleet.File {
	t.Helper()
	files, err := hostfile.Render(h)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]fleet.File{}
	for _, f := range files {
		if _, twice := out[f.Path]; twice {
			t.Errorf("%s is there twice", f.Path)
		}
		out[f.Path] = f
	}
	return out
}

func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	tlsHost := host()
	tlsHost.RelayImage, tlsHost.RelayBinary = "registry.test/paas-relay:1.0", nil
	tlsHost.CA, tlsHost.ClientCert, tlsHost.ClientKey = []byte("ca\n"), []byte("cert\n"), []byte("key\n")
	tlsHost.NoticeURL, tlsHost.RelaySubnet = "", "10.99.0.0/24"
	classic := host()
	classic.Mode = hostfile.ModeExecFetchedJob
	for name, h := range map[string]hostfile.Host{"relay": host(), "relay-tls-image": tlsHost, "exec-fetched-job": classic} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join("testdata", name)
			files := render(t, h)
			if *update {
				rewrite(t, folder, files)
			}
			entries, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, e := range entries {
				data, err := os.ReadFile(filepath.Join(folder, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				want[e.Name()] = string(data)
			}
			got := map[string]string{}
			for path, f := range files {
				got[path] = string(f.Data)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what is pushed has changed (-update if on purpose; -golden +now):\n%s", diff)
			}
		})
	}
}

func rewrite(t *testing.T, folder string, files map[string]fleet.File) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, f := range files {
		if err := os.WriteFile(filepath.Join(folder, path), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyTheRelayIsExecutable(t *testing.T) {
	t.Parallel()
	for path, f := range render(t, host()) {
		if f.Executable != (path == hostfile.RelayBinary) {
			t.Errorf("%s: executable is %v", path, f.Executable)
		}
	}
}

// I7: whatever the section holds under a key of ours, and in whatever case it is
// written, no credential of ours is in any file. What the operator wrote for the
// sub-runner travels.
func TestNoCredentialReachesAFile(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{hostfile.ModeRelay, hostfile.ModeExecFetchedJob} {
		h := host()
		h.Mode = mode
		h.Forward = map[string]any{
			"token": runnerToken, "Token": runnerToken, "TOKEN": runnerToken,
			"cc_token": "CANARY-cc", "CC_Token": "CANARY-cc", "cc_extra_env": map[string]any{"A": "CANARY-env"},
			"cc_gitlab_namespace_attributes_token": "CANARY-namespace",
			"paas_job_trace_watch":                 map[string]any{"token": "CANARY-watch"},
			"job_trace_watch":                      map[string]any{"token": "CANARY-watch"},
			"paas_advertise_url":                   "CANARY-paas",
			"paas-runner-helper-token":             "CANARY-helper",
			"sub_runner":                           "CANARY-sub", "Admission": "CANARY-admission",
			"heptapod_runner_main_image": "CANARY-image", "tls-key-file": "/CANARY/key",
			"environment": []any{"DEPLOY_KEY=operators-own"},
			"cache":       map[string]any{"s3": map[string]any{"SecretKey": "operators-own"}},
		}
		files := render(t, h)
		for path, f := range files {
			if i := bytes.Index(f.Data, []byte("CANARY")); i >= 0 {
				t.Errorf("%s: %s holds a secret: …%.40s", mode, path, f.Data[i:])
			}
		}
		if n := bytes.Count(files[hostfile.RunnerFile].Data, []byte("operators-own")); n != 2 {
			t.Errorf("%s: %d of 2 values of the operator travel", mode, n)
		}
	}
}

func TestForcedKeysAndTheRestUnchanged(t *testing.T) {
	t.Parallel()
	h := host()
	h.Forward["Executor"] = "shell"
	h.Forward["URL"] = "https://elsewhere.test"
	h.Forward["docker"].(map[string]any)["Network_Mode"] = "host"
	before := clone(t, h.Forward)
	got := decode(t, render(t, h)[hostfile.RunnerFile].Data)
	if diff := cmp.Diff(before, clone(t, h.Forward)); diff != "" {
		t.Errorf("Render changed what it was given:\n%s", diff)
	}
	want := clone(t, h.Forward)
	delete(want, "Executor")
	delete(want, "URL")
	delete(want["docker"].(map[string]any), "Network_Mode")
	maps.Copy(want, map[string]any{
		"name": "heptapod-clever", "url": "http://relay.invalid", "executor": "docker",
		"token": h.StandIn.Reveal(), "clone_url": "https://foss.heptapod.test",
	})
	want["docker"].(map[string]any)["network_mode"] = "paas-relay-network-placeholder"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runner.toml (-want +got):\n%s", diff)
	}
}

func TestCloneURLOfTheOperatorAndOfMercurial(t *testing.T) {
	t.Parallel()
	h := host()
	h.Forward["clone_url"] = "https://inner.test"
	if got := decode(t, render(t, h)[hostfile.RunnerFile].Data)["clone_url"]; got != "https://inner.test" {
		t.Errorf("clone_url is %v: want the operator's", got)
	}
	h = host()
	h.Git = false
	if got, there := decode(t, render(t, h)[hostfile.RunnerFile].Data)["clone_url"]; there {
		t.Errorf("clone_url is %v for a Mercurial job: want none", got)
	}
}

func TestHostileNamesChangeNoStructure(t *testing.T) {
	t.Parallel()
	h := host()
	h.RunnerName = `x" ]] url = 'evil' # \ 名` + "`$(id)`"
	h.Forward["environment"] = []any{"A=\n[[runners]]\nname = \"two\"\n", "B=\"\"\"\x00\x7f"}
	h.Payload = []byte(`{"id":1,"x":"\nFROM evil\n","variables":[]}`)
	files := render(t, h)
	got := decode(t, files[hostfile.RunnerFile].Data)
	if got["name"] != h.RunnerName || got["url"] != "http://relay.invalid" {
		t.Errorf("name %q, url %q", got["name"], got["url"])
	}
	if diff := cmp.Diff(h.Forward["environment"], got["environment"]); diff != "" {
		t.Errorf("environment:\n%s", diff)
	}
	if !bytes.Equal(files[hostfile.JobFile].Data, h.Payload) {
		t.Error("the payload was changed")
	}
	clean := string(render(t, host())["Dockerfile"].Data)
	if diff := cmp.Diff(clean, string(files["Dockerfile"].Data)); diff != "" {
		t.Errorf("the Dockerfile depends on hostile input:\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*hostfile.Host){
		"image reference":           func(h *hostfile.Host) { h.MainImage = "debian\nRUN evil" },
		"relay image":               func(h *hostfile.Host) { h.RelayImage = "a b" },
		"neither a relay binary":    func(h *hostfile.Host) { h.RelayBinary = nil },
		"sub_runner":                func(h *hostfile.Host) { h.Mode = "" },
		"runner name":               func(h *hostfile.Host) { h.RunnerName = "a\x00b" },
		"stand-in":                  func(h *hostfile.Host) { h.StandIn = secret.String{} },
		"not JSON":                  func(h *hostfile.Host) { h.Payload = []byte("{") },
		"decode the job":            func(h *hostfile.Host) { h.Payload = []byte("[]") },
		"coordinator URL":           func(h *hostfile.Host) { h.Coordinator = "ftp://x" },
		"client certificate":        func(h *hostfile.Host) { h.ClientCert = []byte("c") },
		"is not a table":            func(h *hostfile.Host) { h.Forward["docker"] = "x" },
		"is there more than once":   func(h *hostfile.Host) { h.Forward["Docker"] = map[string]any{} },
		"of job 100001: sub_runner": func(h *hostfile.Host) { h.Mode = "docker" },
	} {
		h := host()
		spoil(&h)
		_, err := hostfile.Render(h)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v: want an error about %q", err, want)
		}
	}
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var file map[string]any
	if _, err := toml.Decode(string(text), &file); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	runners, ok := file["runners"].([]map[string]any)
	if !ok || len(runners) != 1 || len(file) != 1 {
		t.Fatalf("want one [[runners]] and nothing else:\n%s", text)
	}
	return runners[0]
}

// clone goes through TOML, so that the result has the decoder's types.
func clone(t *testing.T, section map[string]any) map[string]any {
	t.Helper()
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(section); err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if _, err := toml.Decode(b.String(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func image(t *testing.T, job []byte) (name string, services []map[string]any) {
	t.Helper()
	var wire struct {
		Image    struct{ Name string }
		Services []map[string]any
	}
	if err := json.Unmarshal(job, &wire); err != nil {
		t.Fatal(err)
	}
	return wire.Image.Name, wire.Services
}

// The operator's opt-out leaves the payload as it was granted.
func TestKeepImages(t *testing.T) {
	payload := []byte(`{"id":7,"token":"x","image":{"name":"debian"},"variables":[{"key":"CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX","value":"p.example/g"}]}`)
	for keep, want := range map[bool]string{true: string(payload), false: strings.Replace(string(payload), `"debian"`, `"p.example/g/library/debian"`, 1)} {
		h := host()
		h.Payload, h.JobID, h.KeepImages = payload, 7, keep
		files, err := hostfile.Render(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Path == hostfile.JobFile && string(f.Data) != want {
				t.Errorf("keep %v: %s", keep, f.Data)
			}
		}
	}
}
