// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// town is the real program and the simulators as processes of this computer.
type town struct {
	t       *testing.T
	program string
	dir     string
	gitlab  string
	clever  string
	config  string
	service *exec.Cmd
	log     *os.File
	port    string // that the service listens on, in some tests

	simulators []int // their process ids
}

// newTown builds the programs and starts the simulators.
func newTown(t *testing.T) *town { return newSlowTown(t, "300ms") }

// newSlowTown is a town whose instances take so long to boot.
func newSlowTown(t *testing.T, boot string) *town { return newTownOf(t, boot, "") }

// newTownOf is a town whose programs are built with an overlay, if one is named.
func newTownOf(t *testing.T, boot, overlay string) *town {
	if testing.Short() {
		t.Skip("builds the programs and takes its time")
	}
	dir := t.TempDir()
	town := &town{t: t, dir: dir, program: filepath.Join(dir, "bin", "heptapod-paas-runner")}
	for name, flags := range map[string][]string{"heptapod-paas-runner": nil, "paas-relay": {"-ldflags", "-s -w"}} {
		args := append([]string{"build", "-trimpath", "-overlay=" + overlay, "-o", filepath.Join(dir, "bin", name)}, flags...)
		build := exec.Command("go", append(args, "heptapod-paas-runner/cmd/"+name)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	var err error
	if town.log, err = os.Create(filepath.Join(dir, "service.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { town.log.Close() })
	town.gitlab = town.simulator("gitlab")
	town.clever = town.simulator("clever", "--boot-time", boot, "--repo-delay", "100ms")
	town.configure()
	return town
}

// simulator starts one and gives its URL.
func (n *town) simulator(name string, flags ...string) string {
	cmd := exec.Command(n.program, append([]string{"sim", name, "--listen", "127.0.0.1:0"}, flags...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd.Stderr = n.log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.simulators = append(n.simulators, cmd.Process.Pid)
	n.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		n.t.Fatalf("sim %s said %q, %v", name, line, err)
	}
	return url
}

func (n *town) configure() {
	n.config = filepath.Join(n.dir, "paas.toml")
	if err := os.Mkdir(filepath.Join(n.dir, "state"), 0o700); err != nil {
		n.t.Fatal(err)
	}
	text := fmt.Sprintf(`state_file = %q
check_interval = 0.2
job_progress_poll_interval = 0.3
[quota_computation]
  reference_runner = "clever"
  reference_flavor = "M"
  reference_jobs_count = 4
[[runners]]
  name = "clever"
  url = %q
  token = %q
  executor = "clever-docker"
  cc_api_url = %q
  cc_orga_id = %q
  cc_token = %q
  [runners.job_trace_watch]
    poll_step = 0.2
    timeout_seconds = 60
  [runners.cc_extra_env]
    CC_ENABLE_HEPTAPOD_RUNNER = "true"
`, filepath.Join(n.dir, "state", "state.db"), n.gitlab, gitlab.RunnerToken, n.clever+"/v2", clever.FirstOrganisation, clever.FirstToken)
	if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *town) start() { n.startWith("--log-level", "debug", n.config) }

// startWith starts the service with these arguments and no others; it does not outlive the
// test, however that ends.
func (n *town) startWith(args ...string) {
	service := exec.Command(n.program, args...)
	service.Stdout, service.Stderr = n.log, n.log
	if err := service.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.service = service
	n.t.Cleanup(func() {
		if service.ProcessState == nil {
			_ = service.Process.Kill()
			_ = service.Wait()
		}
	})
}

// stop sends a signal to the service and waits for its end; it gives how long it took.
func (n *town) stop(s os.Signal) time.Duration {
	begun := time.Now()
	_ = n.service.Process.Signal(s)
	_ = n.service.Wait()
	return time.Since(begun)
}

func (n *town) call(method, url string, body, into any) {
	raw, err := json.Marshal(body)
	if err != nil {
		n.t.Fatal(err)
	}
	r, err := http.NewRequest(method, url, bytes.NewReader(raw))
	if err != nil {
		n.t.Fatal(err)
	}
	if method == http.MethodGet {
		r.Body = http.NoBody
		r.ContentLength = 0
	}
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		n.t.Fatalf("%s %s: %d %s", method, url, answer.StatusCode, text)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *town) jobs() []simJob {
	var out []simJob
	n.call(http.MethodGet, n.gitlab+"/_sim/jobs", nil, &out)
	return out
}

func (n *town) applications() []clever.Application {
	var out []clever.Application
	n.call(http.MethodGet, n.clever+"/_sim/applications", nil, &out)
	return out
}

// settled waits until every job has ended and none of our applications is left.
func (n *town) settled(limit time.Duration) bool { return n.settledFor(n.gitlab, limit) }

// settledFor is settled for a runner whose coordinator goes by another URL.
func (n *town) settledFor(coordinator string, limit time.Duration) bool {
	owner, err := fleet.OwnerOf(gitlab.RunnerToken, coordinator)
	if err != nil {
		n.t.Fatal(err)
	}
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		open := 0
		for _, j := range n.jobs() {
			if j.FinishedAt == nil {
				open++
			}
		}
		for _, app := range n.applications() {
			if o, _, ok := fleet.ParseKey(app.Name); ok && o == owner && app.State != "deleted" {
				open++
			}
		}
		if open == 0 {
			return true
		}
	}
	return false
}

// lost tells whether a job was granted to a process that died before it could record it:
// every other one has our first line in its log at once.
func (n *town) lost(j simJob) bool {
	return j.Status == "running" && j.Trace == "" && j.AcquiredAt != nil && time.Since(*j.AcquiredAt) > 30*time.Second
}

// quiet waits until every job has ended, but for the lost ones, and nothing of ours is left.
func (n *town) quiet(limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		open := 0
		for _, j := range n.jobs() {
			if j.FinishedAt == nil && !n.lost(j) {
				open++
			}
		}
		for _, app := range n.applications() {
			if app.State != "deleted" {
				open++
			}
		}
		if open == 0 {
			return true
		}
	}
	return false
}

// The real program is killed again and again in the middle of ten jobs, run by real
// shells: every job ends as it should, none runs twice, nothing is left.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	out := filepath.Join(n.dir, "ran")
	for i := range 10 {
		flavor := []string{"XS", "S", "M", "L"}[i%4]
		script := fmt.Sprintf("echo run >> %s.%d; sleep 1; echo finished", out, i)
		n.call(http.MethodPost, n.gitlab+"/_sim/jobs", map[string]any{
			"script": []string{script}, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": flavor},
		}, nil)
	}
	for _, after := range []time.Duration{150, 400, 250, 700, 900, 300, 1200} {
		n.start()
		time.Sleep(after * time.Millisecond)
		n.stop(syscall.SIGKILL)
	}
	n.start()
	if !n.quiet(150 * time.Second) { // a create that was cut is settled for a minute
		t.Errorf("not settled: %+v", n.applications())
	}
	if took := n.stop(syscall.SIGTERM); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	for i, j := range n.jobs() {
		ran, _ := os.ReadFile(fmt.Sprintf("%s.%d", out, i))
		if n.lost(j) && len(ran) == 0 {
			t.Logf("job %d was lost at acquisition", j.ID) // the one gap that I1 names
			continue
		}
		if j.Status != "success" || !strings.Contains(j.Trace, "finished") {
			t.Errorf("job %d ended %s (%s):\n%s", j.ID, j.Status, j.FailureReason, j.Trace)
		}
		if string(ran) != "run\n" {
			t.Errorf("the script of job %d ran %d times", j.ID, strings.Count(string(ran), "\n"))
		}
	}
	n.checkSecrets()
}

// The state folder is lost while jobs run, beside applications of others whose names
// look like ours.
func TestStateFolderIsLost(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	owner, err := fleet.OwnerOf(gitlab.RunnerToken, n.gitlab)
	if err != nil {
		t.Fatal(err)
	}
	foreign := []string{"hpd-job-aaaaaaaaaa-100001", owner.KeyPrefix() + "100001-copy", owner.KeyPrefix() + "x", "shop"}
	for _, name := range foreign {
		n.call(http.MethodPost, n.clever+"/_sim/foreign", map[string]any{"name": name, "organisation": clever.FirstOrganisation}, nil)
	}
	for range 3 {
		n.call(http.MethodPost, n.gitlab+"/_sim/jobs", map[string]any{"script": []string{"sleep 4; echo finished"}}, nil)
	}
	n.start()
	for range 100 {
		if running(n.applications()) == 3 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.stop(syscall.SIGKILL)
	if err := os.RemoveAll(filepath.Join(n.dir, "state")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(n.dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	n.start()
	if !n.settled(150 * time.Second) { // a create that was cut is settled for a minute
		t.Errorf("not settled: %+v", n.applications())
	}
	n.stop(syscall.SIGTERM)
	for _, j := range n.jobs() {
		if j.Status != "success" || !strings.Contains(j.Trace, "finished") {
			t.Errorf("job %d ended %s (%s):\n%s", j.ID, j.Status, j.FailureReason, j.Trace)
		}
	}
	left := map[string]bool{}
	for _, app := range n.applications() {
		left[app.Name] = left[app.Name] || app.State != "deleted"
	}
	for _, name := range foreign {
		if !left[name] {
			t.Errorf("%s of somebody else was deleted", name)
		}
	}
	n.checkSecrets()
}

func running(apps []clever.Application) int {
	n := 0
	for _, app := range apps {
		if app.State == "running" {
			n++
		}
	}
	return n
}

// checkSecrets holds I7 over all that a real run leaves: logs at debug, pushed files,
// environments, traces.
func (n *town) checkSecrets() {
	log, err := os.ReadFile(n.log.Name())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, canary := range []string{gitlab.RunnerToken, clever.FirstToken, "glcbt-"} {
		if bytes.Contains(log, []byte(canary)) {
			n.t.Errorf("I7: the log holds %q", canary)
		}
	}
	for _, app := range n.applications() {
		for _, wrong := range checkSecrets(app) {
			n.t.Error(wrong)
		}
	}
	for _, j := range n.jobs() {
		for _, canary := range []string{gitlab.RunnerToken, clever.FirstToken} {
			if strings.Contains(j.Trace, canary) {
				n.t.Errorf("I7: the trace of job %d holds %q", j.ID, canary)
			}
		}
	}
}

// SIGHUP takes a good configuration over, refuses a bad one and says why; SIGUSR1 writes
// the state to the log, without a secret.
func TestSignalsReloadAndDump(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs processes")
	}
	n := newTown(t)
	n.start()
	good, err := os.ReadFile(n.config)
	if err != nil {
		t.Fatal(err)
	}
	n.says("recovered")
	n.call(http.MethodPost, n.gitlab+"/_sim/jobs", map[string]any{"script": []string{"sleep 2; echo finished"}}, nil)
	n.says("state=running")
	for _, step := range []struct{ change, want string }{
		{"concurrent = 0\n", "paas.toml:1: concurrent: found 0"},
		{"concurrent = 7\n", "configuration reloaded"},
	} {
		if err := os.WriteFile(n.config, append([]byte(step.change), good...), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = n.service.Process.Signal(syscall.SIGHUP)
		n.says(step.want)
	}
	_ = n.service.Process.Signal(syscall.SIGUSR1)
	n.says("msg=state dump=")
	if !n.settled(30 * time.Second) {
		t.Error("not settled")
	}
	n.stop(syscall.SIGTERM)
	if j := n.jobs()[0]; j.Status != "success" {
		t.Errorf("the job that ran ended %s", j.Status)
	}
	n.checkSecrets()
}

// says waits until the service's log holds a text.
func (n *town) says(text string) {
	for range 900 {
		if log, _ := os.ReadFile(n.log.Name()); bytes.Contains(log, []byte(text)) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	log, _ := os.ReadFile(n.log.Name())
	n.t.Fatalf("the service does not say %q:\n%s", text, log)
}
