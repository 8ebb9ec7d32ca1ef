// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/launch"
	"heptapod-paas-runner/internal/sim/subrunner"
)

// TestMain lets this test binary stand for the program that knows `sim sub-runner`.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "sim" && os.Args[2] == "sub-runner" {
		os.Exit(subrunner.Main(context.Background(), os.Args[3:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// machine is a whole machine: the real relay, and the reference sub-runner as a
// process, against a coordinator on a real port.
type machine struct {
	t    *testing.T
	s    *gitlab.Server
	task clever.Task
	log  *output
	id   int64
	p    *launch.Process
}

func newMachine(t *testing.T, spec gitlab.Spec) *machine {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	url := "http://" + web.Listener.Addr().String()
	m := &machine{t: t, s: gitlab.New(gitlab.Config{URL: url, LongPoll: -1}), log: &output{}}
	web.Config.Handler = m.s
	web.Start()
	t.Cleanup(web.Close)
	binary := filepath.Join(t.TempDir(), "paas-relay")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "heptapod-paas-runner/cmd/paas-relay")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the relay: %v\n%s", err, out)
	}
	relay, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if m.id, err = m.s.Queue(spec); err != nil {
		t.Fatal(err)
	}
	m.p, _ = newProcess(t, launch.Config{})
	m.task = clever.Task{
		Name: "hpd-job-aaaaaaaaaa-1", Argv: []string{"/usr/local/bin/paas-relay", "/etc/h/relay.json"}, Log: m.log,
		Executable: map[string]bool{"/usr/local/bin/paas-relay": true}, Files: m.files(url, relay),
	}
	return m
}

func (m *machine) post(url, body string, header http.Header, method string) []byte {
	m.t.Helper()
	r := httptest.NewRequestWithContext(m.t.Context(), method, url, strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	m.s.ServeHTTP(w, r)
	if w.Code >= 300 {
		m.t.Fatalf("%s %s: %d %s", method, url, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

const prefix = "waiting for an instance\n"

// files are what an instance is given, with the job acquired and a prefix written.
func (m *machine) files(url string, relay []byte) map[string][]byte {
	m.t.Helper()
	features := `{"token":"` + gitlab.RunnerToken + `","info":{"features":{"cancel_gracefully":true,"return_exit_code":true}}}`
	job := m.post(url+"/api/v4/jobs/request", features, http.Header{"Content-Type": {"application/json"}}, http.MethodPost)
	token := string(job)
	_, token, _ = strings.Cut(token, `"token":"`)
	token, _, _ = strings.Cut(token, `"`)
	m.post(fmt.Sprintf("%s/api/v4/jobs/%d/trace", url, m.id), prefix,
		http.Header{"Job-Token": {token}, "Content-Range": {fmt.Sprintf("0-%d", len(prefix)-1)}}, http.MethodPatch)
	settings := fmt.Sprintf(`{"version":1,"coordinator":%q,"job_id":%d,"key":"hpd-job-aaaaaaaaaa-1","job_file":"job.json","runner_file":"runner.toml",
		"runner_name":"lab","stand_in_token":"sim-runneSTANDIN","url_placeholder":"http://relay.invalid",
		"network_placeholder":"paas-relay-network-placeholder","prefix_bytes":%d,"prefix_crc32":"%08x","acquired_at":%q,
		"timeout_seconds":3600,"wait_timeout_seconds":20,"sub_runner":["gitlab-runner"],"notice":null,"docker":{"subnet":""}}`,
		url, m.id, len(prefix), crc32.ChecksumIEEE([]byte(prefix)), time.Now().UTC().Format(time.RFC3339))
	runner := "[[runners]]\n  name = \"lab\"\n  url = \"http://relay.invalid\"\n  token = \"sim-runneSTANDIN\"\n  executor = \"docker\"\n" +
		"  [runners.docker]\n    image = \"debian\"\n    network_mode = \"paas-relay-network-placeholder\"\n"
	return map[string][]byte{
		"/etc/h/job.json": job, "/etc/h/relay.json": []byte(settings), "/etc/h/runner.toml": []byte(runner),
		"/usr/local/bin/paas-relay": relay,
	}
}

func (m *machine) job() gitlab.Job {
	j, _ := m.s.Job(m.id)
	return j
}

func TestRelayAndSubRunnerRunAJob(t *testing.T) {
	t.Parallel()
	m := newMachine(t, gitlab.Spec{Script: []string{"echo hello from $CI_JOB_ID", "exit 3"}, AfterScript: []string{"echo after=$CI_JOB_STATUS"}})
	err := m.p.Launch(t.Context(), m.task)
	j := m.job()
	if j.Status != "failed" || j.ExitCode == nil || *j.ExitCode != 3 {
		t.Errorf("%+v, launch: %v\n%s", j, err, m.log)
	}
	if !strings.HasPrefix(j.Trace, prefix) {
		t.Errorf("the trace does not begin with the prefix:\n%s", j.Trace)
	}
	for _, want := range []string{"Running with gitlab-runner 17.9.0", fmt.Sprintf("hello from %d\n", m.id), "after=failed\n", "exit status 3"} {
		if strings.Count(j.Trace, want) != 1 {
			t.Errorf("%q is not in the trace once:\n%s", want, j.Trace)
		}
	}
}

func TestRelayAndSubRunnerObeyACancel(t *testing.T) {
	t.Parallel()
	m := newMachine(t, gitlab.Spec{Script: []string{"while true; do echo tick; sleep 0.2; done"}, AfterScript: []string{"echo after=$CI_JOB_STATUS"}})
	ended := make(chan error)
	go func() { ended <- m.p.Launch(t.Context(), m.task) }()
	until(t, func() bool { return strings.Contains(m.job().Trace, "tick") })
	m.s.Cancel(m.id)
	err := <-ended
	if j := m.job(); j.Status != "canceled" || !strings.Contains(j.Trace, "after=canceled") {
		t.Errorf("%s, launch: %v\n%s\n%s", j.Status, err, j.Trace, m.log)
	}
}
