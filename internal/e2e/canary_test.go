// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// nowhere are the secrets that leave the process in no way but in calls to whom they are
// for; each is used by the service of this test, and has a value of its own.
func nowhere() map[string]string {
	return map[string]string{
		"runner token": "glrt-CANARYplain0123456789", "runner token of many tenants": "glrt-CANARYmany00123456789", "runner token of the user": "glrt-CANARYuser00123456789",
		"cc_token": "CANARY-cc-token", "another's cc_token": "CANARY-wrong-token", "group attribute": "CANARY-tenant-token",
		"consumer secret": "CANARY-consumer-secret", "OAuth token": "CANARY-oauth-token", "OAuth secret": "CANARY-oauth-secret",
		"administrator": gitlab.AdminToken, "listener": "CANARY-listen-token", "registration": gitlab.RegistrationToken,
		"proxy": "CANARY-proxy-password", "git password": "CANARY-git-password",
	}
}

// forwarded are those that the operator writes into the forwarded part: in runner.toml of
// each instance, as documented, and nowhere else.
func forwardedSecrets() map[string]string {
	return map[string]string{"S3 access key": "CANARY-s3-access", "S3 secret key": "CANARY-s3-secret", "registry": "CANARY-registry-password"}
}

// ofJobs are those of a job: on its own instance only, in what it was given.
func ofJobs() map[string]string {
	return map[string]string{"job token": "glcbt-", "masked variable": "CANARY-masked-variable", "open variable": "CANARY-open-variable"}
}

// everywhere joins secrets.
func everywhere(sets ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, set := range sets {
		maps.Copy(out, set)
	}
	return out
}

// lacks holds I7 over one text.
func (n *town) lacks(where, text string, secrets map[string]string) {
	n.t.Helper()
	for name, value := range secrets {
		if i := strings.Index(text, value); i >= 0 {
			n.t.Errorf("I7: %s holds the %s: …%s…", where, name, text[max(0, i-80):min(len(text), i+len(value)+20)])
		}
	}
}

// watched configures three runners, with a secret of every kind.
func (n *town) watched() {
	s := everywhere(nowhere(), forwardedSecrets())
	n.port = freePort(n.t)
	n.call(http.MethodPut, n.clever+"/_sim/organisations/orga_plain", map[string]any{"token": s["cc_token"]}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/organisations/orga_tenant", map[string]any{"token": s["group attribute"]}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/organisations/orga_user", map[string]any{"token": "unused"}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/consumers/watched", map[string]any{"secret": s["consumer secret"]}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/users/user_watched", map[string]any{
		"token": s["OAuth token"], "secret": s["OAuth secret"], "organisations": []string{"orga_user"},
	}, nil)
	group := func(name, org, token string) {
		n.call(http.MethodPut, n.gitlab+"/_sim/groups/"+name+"/attributes", map[string]string{"cc_orga_id": org, "cc_orga_token": token}, nil)
	}
	group("good", "orga_tenant", s["group attribute"])
	group("bad", "orga_tenant", s["another's cc_token"])
	var text strings.Builder
	fmt.Fprintf(&text, "state_file = %q\nlisten_address = \"127.0.0.1:%s\"\npaas_listen_token = %q\ncheck_interval = 0.2\njob_progress_poll_interval = 0.3\n",
		filepath.Join(n.dir, "state", "state.db"), n.port, s["listener"])
	fmt.Fprintf(&text, "paas_advertise_url = \"http://127.0.0.1:%s\"\n[quota_computation]\nreference_runner = \"plain\"\nreference_flavor = \"M\"\nreference_jobs_count = 8\n", n.port)
	for name, lines := range map[string]string{
		"plain": fmt.Sprintf("cc_orga_id = \"orga_plain\"\ncc_token = %q\ntoken = %q\n", s["cc_token"], s["runner token"]),
		"many": fmt.Sprintf("cc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = %q\ntoken = %q\n",
			s["administrator"], s["runner token of many tenants"]),
		"user": fmt.Sprintf("cc_orga_id = \"orga_user\"\ncc_auth = \"oauth1\"\ncc_consumer_key = \"watched\"\ncc_consumer_secret = %q\ncc_oauth_token = %q\ncc_oauth_secret = %q\ntoken = %q\n",
			s["consumer secret"], s["OAuth token"], s["OAuth secret"], s["runner token of the user"]),
	} {
		fmt.Fprintf(&text, `[[runners]]
name = %q
url = %q
executor = "clever-docker"
cc_api_url = %q
environment = ["DOCKER_AUTH_CONFIG=%s"]
%s[runners.job_trace_watch]
poll_step = 0.2
token = %q
[runners.cc_extra_env]
CC_ENABLE_HEPTAPOD_RUNNER = "true"
[runners.cache]
Type = "s3"
[runners.cache.s3]
AccessKey = %q
SecretKey = %q
`, name, n.gitlab, n.clever+"/v2", s["registry"], lines, s["administrator"], s["S3 access key"], s["S3 secret key"])
	}
	if err := os.WriteFile(n.config, []byte(text.String()), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// launch starts the service with a proxy in its environment, and this form of log.
func (n *town) launch(form string) {
	n.service = exec.Command(n.program, "--log-level", "debug", "--log-format", form, n.config)
	n.service.Env = append(os.Environ(), "HTTPS_PROXY=http://user:"+nowhere()["proxy"]+"@127.0.0.1:1")
	n.service.Stdout, n.service.Stderr = n.log, n.log
	if err := n.service.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// pages are all that the listener shows to who has the token.
func (n *town) pages() {
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/", "/api/v1/status", "/api/v1/jobs", "/api/v1/jobs/100001", "/api/v1/instances", "/api/v1/audit", "/api/v1/x", "/debug/pprof/goroutine?debug=2"} {
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+n.port+path, nil)
		if err != nil {
			n.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+nowhere()["listener"])
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			n.t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		n.lacks(path, fmt.Sprint(answer.Header)+string(text), everywhere(nowhere(), forwardedSecrets(), ofJobs()))
	}
}

// commands are all that an operator may run beside the service.
func (n *town) commands() {
	for _, args := range [][]string{
		{"status", "-c", n.config}, {"status", "-c", n.config, "--json"}, {"audit", "-c", n.config}, {"audit", "-c", n.config, "--json"},
		{"check", n.config}, {"check", n.config, "--online"}, {"--log-level", "debug", "run", n.config}, // held by the service
	} {
		out, err := exec.Command(n.program, args...).CombinedOutput()
		if len(out) == 0 {
			n.t.Errorf("%v says nothing: %v", args, err)
		}
		n.lacks(strings.Join(args, " "), string(out), everywhere(nowhere(), forwardedSecrets(), ofJobs()))
	}
	if err := os.WriteFile(filepath.Join(n.dir, "bad.toml"), []byte(strings.ReplaceAll(n.text(n.config), "= \"", "= 1 \"")), 0o600); err != nil {
		n.t.Fatal(err)
	}
	out, _ := exec.Command(n.program, "check", filepath.Join(n.dir, "bad.toml")).CombinedOutput()
	n.lacks("check of a broken file", string(out), everywhere(nowhere(), forwardedSecrets()))
}

func (n *town) text(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(raw)
}

// processes looks at the arguments and the environment of everything on this computer: the
// service, the simulators, relays, sub-runners and scripts.
func (n *town) processes() {
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(list) == 0 {
		n.t.Fatal("no processes are shown: ", err)
	}
	hidden := everywhere(nowhere(), forwardedSecrets())
	seen := 0
	for _, place := range list {
		args, _ := os.ReadFile(place + "/cmdline")
		env, _ := os.ReadFile(place + "/environ")
		n.lacks(place+"/cmdline", string(args), everywhere(hidden, ofJobs()))
		if !bytes.Contains(args, []byte(n.dir)) {
			continue
		}
		seen++
		if place == fmt.Sprint("/proc/", n.service.Process.Pid) {
			env = bytes.ReplaceAll(env, []byte(hidden["proxy"]), nil) // the operator's own way of saying it
		}
		n.lacks(place+"/environ", string(env), hidden)
	}
	if seen < 4 {
		n.t.Errorf("only %d processes of ours are seen", seen)
	}
	limits := n.text(fmt.Sprintf("/proc/%d/limits", n.service.Process.Pid))
	if _, rest, _ := strings.Cut(limits, "Max core file size"); strings.Join(strings.Fields(rest)[:2], " ") != "0 0" {
		n.t.Errorf("the service may leave a core file: %s", limits)
	}
}

// onDisk holds what the state folder may hold, and who may read it.
func (n *town) onDisk(hidden map[string]string) {
	err := filepath.WalkDir(filepath.Join(n.dir, "state"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			n.t.Errorf("%s has mode %s", path, info.Mode())
		}
		n.lacks(path, n.text(path), hidden)
		return err
	})
	if err != nil {
		n.t.Error(err)
	}
}

// instances holds what was pushed, and the environments of applications.
func (n *town) instances() {
	pushed := 0
	for _, app := range n.applications() {
		env, err := json.Marshal(app.Env)
		if err != nil {
			n.t.Fatal(err)
		}
		n.lacks("the environment of "+app.Name, string(env), everywhere(nowhere(), forwardedSecrets(), ofJobs()))
		for path, content := range app.Files {
			text := fmt.Sprint(content)
			hidden := everywhere(nowhere(), forwardedSecrets(), ofJobs())
			switch path {
			case "runner.toml":
				hidden = everywhere(nowhere(), ofJobs())
			case "job.json":
				hidden = everywhere(nowhere(), forwardedSecrets())
			case "relay.json":
				pushed++
				n.unsaid(text)
			}
			n.lacks(path+" of "+app.Name, text, hidden)
		}
	}
	if pushed < 3 {
		n.t.Errorf("only %d instances were pushed to", pushed)
	}
}

// unsaid holds that what an instance was given for itself stands in no log and no trace.
func (n *town) unsaid(relay string) {
	var given struct {
		StandIn string                  `json:"stand_in_token"`
		Notice  struct{ Bearer string } `json:"notice"`
	}
	if err := json.Unmarshal([]byte(relay), &given); err != nil || given.StandIn == "" || given.Notice.Bearer == "" {
		n.t.Fatalf("relay.json gives no stand-in and no bearer: %v", err)
	}
	secrets := map[string]string{"stand-in": given.StandIn, "bearer": given.Notice.Bearer}
	n.lacks("the log", n.text(n.log.Name()), secrets)
	for _, j := range n.jobs() {
		n.lacks("a trace", j.Trace, secrets)
	}
}

// The real program, with a secret of its own of every kind: none is in anything that leaves
// the process, but where docs/security.md says so.
func TestNoSecretLeavesTheProcess(t *testing.T) {
	n := newTown(t)
	n.watched()
	variables := map[string]any{"SHOWN": ofJobs()["open variable"], "HIDDEN": map[string]any{"value": ofJobs()["masked variable"], "masked": true}}
	for _, project := range []string{"good/one", "bad/two", "good/three", "good/four", "bad/five", "good/six"} {
		n.call(http.MethodPost, n.gitlab+"/_sim/jobs", map[string]any{"script": []string{"sleep 3"}, "project": project, "variables": variables}, nil)
	}
	n.call(http.MethodPost, n.clever+"/_sim/faults", map[string]any{"match": "GET /v2/organisations/orga_plain/applications", "times": 3, "status": 401, "body": `{"id":2001,"message":"no such token ` + nowhere()["cc_token"] + `","type":"error"}`}, nil)
	n.launch("text")
	n.says("state=running")
	n.pages()
	n.commands()
	n.processes()
	n.onDisk(everywhere(nowhere(), forwardedSecrets()))
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		_ = n.service.Process.Signal(s)
	}
	n.says("msg=state dump=")
	n.says("configuration reloaded")
	n.stop(syscall.SIGQUIT) // as after a panic: all that Go can tell of its stacks
	n.says("goroutine ")
	n.launch("json")
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && n.open(); {
		time.Sleep(300 * time.Millisecond)
	}
	_ = n.service.Process.Signal(syscall.SIGUSR1)
	n.says(`"msg":"state"`)
	n.stop(syscall.SIGTERM)
	n.lacks("the log", n.text(n.log.Name()), everywhere(nowhere(), forwardedSecrets(), ofJobs()))
	n.instances()
	n.onDisk(everywhere(nowhere(), forwardedSecrets(), ofJobs()))
	for _, j := range n.jobs() {
		n.lacks("a trace", j.Trace, everywhere(nowhere(), forwardedSecrets(), ofJobs()))
	}
}

// open tells whether a job has not ended, or an instance is left.
func (n *town) open() bool {
	for _, j := range n.jobs() {
		if j.FinishedAt == nil {
			return true
		}
	}
	for _, app := range n.applications() {
		if app.State != "deleted" {
			return true
		}
	}
	return false
}
