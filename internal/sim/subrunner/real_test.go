// SPDX-License-Identifier: Apache-2.0

package subrunner_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/subrunner"
)

// real is a coordinator on a real port and a folder for real jobs.
type real struct {
	t    *testing.T
	s    *gitlab.Server
	dir  string
	o    subrunner.Options
	stop chan struct{}
}

// needs skips a quick run on a computer without the program.
func needs(t *testing.T, program string) {
	t.Helper()
	if testing.Short() {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs " + program)
		}
	}
}

func newReal(t *testing.T) *real {
	t.Helper()
	t.Parallel()
	web := httptest.NewUnstartedServer(nil)
	url := "http://" + web.Listener.Addr().String()
	r := &real{t: t, s: gitlab.New(gitlab.Config{URL: url, LongPoll: -1}), dir: t.TempDir(), stop: make(chan struct{})}
	web.Config.Handler = r.s
	web.Start()
	t.Cleanup(web.Close)
	r.o = subrunner.Options{
		URL: url, Token: gitlab.RunnerToken, Executor: "shell", RunnerName: "lab", MaxBuilds: 1,
		WaitTimeout: 10 * time.Second, Dir: r.dir, Terminate: r.stop,
	}
	return r
}

func (r *real) run(spec gitlab.Spec) gitlab.Job {
	r.t.Helper()
	id, err := r.s.Queue(spec)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := subrunner.RunSingle(r.t.Context(), r.o); err != nil {
		r.t.Fatal(err)
	}
	j, _ := r.s.Job(id)
	return j
}

func (r *real) expect(j gitlab.Job, status string, contains ...string) {
	r.t.Helper()
	if j.Status != status {
		r.t.Errorf("status %s, want %s:\n%s", j.Status, status, j.Trace)
	}
	for _, want := range contains {
		if !strings.Contains(j.Trace, want) {
			r.t.Errorf("%q is not in the trace:\n%s", want, j.Trace)
		}
	}
}

func TestRealScript(t *testing.T) {
	r := newReal(t)
	j := r.run(gitlab.Spec{
		BeforeScript: []string{"export FROM_BEFORE=yes"},
		Script: []string{
			"echo before=$FROM_BEFORE", "echo secret=$SECRET token=$CI_JOB_TOKEN", `cat "$FILE"; echo "$QUOTED"`,
			"for i in 1 2; do\n  echo loop $i\ndone", "echo to stderr >&2", "pwd; echo dir=$CI_PROJECT_DIR; ls ..",
			"echo $CI_JOB_TIMEOUT $CI_RUNNER_SHORT_TOKEN $CI_SERVER ref=$REF",
		},
		AfterScript: []string{"echo after=$FROM_BEFORE status=$CI_JOB_STATUS", "exit 9"},
		Variables: map[string]gitlab.Variable{
			"SECRET": {Value: "s3cr3t-value", Masked: true}, "FILE": {Value: "file content\n", File: true},
			"QUOTED": {Value: `it's "quoted" \ and` + "\nlong"}, "REF": {Value: "$CI_SERVER-x"},
		},
		Project: "group/proj", Timeout: gitlab.Seconds(10 * time.Minute),
	})
	r.expect(j, "success",
		"before=yes\n", "secret=[MASKED] token=[MASKED]\n", "file content\n", `it's "quoted" \ and`+"\nlong\n",
		"\x1b[32;1m$ for i in 1 2; do # collapsed multi-line command\x1b[0;m\nloop 1\nloop 2\n", "to stderr\n",
		"dir="+filepath.Join(r.dir, "builds", "sim-runne", "0", "group", "proj"), "600 sim-runne yes ref=yes-x\n",
		"after= status=success\n", "WARNING: after_script failed, but job will continue unaffected: exit status 9", "Skipping Git repository setup",
	)
	if strings.Contains(j.Trace, "s3cr3t-value") {
		t.Error("the secret is in the trace")
	}
}

func TestRealScriptStopsAtTheFirstFailure(t *testing.T) {
	needs(t, "bash") // for pipefail
	r := newReal(t)
	j := r.run(gitlab.Spec{Script: []string{"echo one", "false | true", "echo never"}})
	r.expect(j, "failed", "one\n", "ERROR: Job failed: exit status 1")
	if strings.Contains(j.Trace, "never\n") {
		t.Error("the script went on after a failure in a pipe")
	}
	j = r.run(gitlab.Spec{Script: []string{"kill -9 $$"}})
	r.expect(j, "failed", "exit status 137")
	if *j.ExitCode != 137 {
		t.Errorf("exit code %d", *j.ExitCode)
	}
}

func TestRealScriptWithLongOutput(t *testing.T) {
	r := newReal(t)
	j := r.run(gitlab.Spec{Script: []string{`head -c 3000000 /dev/zero | tr '\0' 'x'; echo; printf '\303\251\377\n'`}})
	r.expect(j, "success", strings.Repeat("x", 3000000)+"\n", "\xff\n")
	limited := r.run(gitlab.Spec{Script: []string{`head -c 9000000 /dev/zero | tr '\0' 'y'`}})
	r.expect(limited, "success", "Job's log exceeded limit of 4194304 bytes.")
	if n := len(limited.Trace); n > 4<<20+300 {
		t.Errorf("%d bytes", n)
	}
}

func TestRealArtifacts(t *testing.T) {
	r := newReal(t)
	first := r.run(gitlab.Spec{
		Script:    []string{"mkdir -p out/deep && echo one > out/deep/a.txt && echo two > b.log && echo three > c.log"},
		Artifacts: &gitlab.Artifacts{Paths: []string{"out/", "*.log"}},
	})
	r.expect(first, "success", "found 3 matching artifact files", "201 Created")
	r.dir = t.TempDir()
	r.o.Dir = r.dir
	second := r.run(gitlab.Spec{Script: []string{"cat out/deep/a.txt *.log"}, Dependencies: []int64{first.ID}})
	r.expect(second, "success", "Downloading artifacts from coordinator... ok", "one\ntwo\nthree\n")

	failed := r.run(gitlab.Spec{Script: []string{"echo x > x", "exit 4"}, Artifacts: &gitlab.Artifacts{Paths: []string{"x"}, When: "on_failure"}})
	r.expect(failed, "failed", "Uploading artifacts for failed job", "201 Created", "exit status 4")
	none := r.run(gitlab.Spec{Script: []string{"exit 4"}, Artifacts: &gitlab.Artifacts{Paths: []string{"x"}}})
	if strings.Contains(none.Trace, "Uploading artifacts") {
		t.Error("a failed job uploaded what is meant for success")
	}
}

func TestRealReports(t *testing.T) {
	r := newReal(t)
	j := r.run(gitlab.Spec{
		Script: []string{"echo '<testsuite/>' > a.xml; echo '{}' > s.json", "exit 1"},
		Artifacts: &gitlab.Artifacts{
			Paths: []string{"a.xml"}, Reports: map[string][]string{"junit": {"*.xml"}, "sast": {"s.json"}, "dotenv": {"none.env"}},
		},
	})
	r.expect(j, "failed", `Uploading artifacts as "junit" to coordinator... 201 Created`)
	var kinds []string
	for _, a := range j.Artifacts {
		kinds = append(kinds, a.Type+" "+a.Filename)
	}
	if got, want := strings.Join(kinds, ", "), "junit junit.gz, sast sast.json"; got != want {
		t.Errorf("uploaded %s, want %s: reports are sent of failed jobs too", got, want)
	}
}

func TestRealClone(t *testing.T) {
	needs(t, "git")
	r := newReal(t)
	r.expect(r.run(gitlab.Spec{Git: true, Script: []string{"git log --oneline | wc -l", "ls -a"}}), "success", "Checking out ", ".git\n")
	none := r.run(gitlab.Spec{Git: true, Script: []string{"echo"}, Variables: map[string]gitlab.Variable{"GIT_STRATEGY": {Value: "none"}}})
	r.expect(none, "success", "Skipping Git repository setup")
}

// A cancelled script takes along what it started, and after_script still runs.
func TestRealCancelKillsGrandchildren(t *testing.T) {
	r := newReal(t)
	beat := filepath.Join(t.TempDir(), "beat")
	id, err := r.s.Queue(gitlab.Spec{
		Script:      []string{"(while true; do date +%N > " + beat + "; sleep 0.01; done) &", "sleep 1000"},
		AfterScript: []string{"echo status=$CI_JOB_STATUS"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- subrunner.RunSingle(t.Context(), r.o) }()
	until(t, func() bool { _, err := os.Stat(beat); return err == nil })
	r.s.Cancel(id)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	j, _ := r.s.Job(id)
	r.expect(j, "canceled", "script canceled externally", "status=canceled")
	last, _ := os.ReadFile(beat)
	for range 3 {
		next := time.After(30 * time.Millisecond)
		<-next
	}
	if now, _ := os.ReadFile(beat); !bytes.Equal(last, now) {
		t.Error("what the script started still runs")
	}
}

// until waits for something that happens outside of this process.
func until(t *testing.T, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !happened(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"--version", 0, "Version:      17.9.0", ""},
		{"--debug --version", 0, "17.9.0", ""},
		{"", 2, "", "run-single"},
		{"run", 2, "", "not simulated"},
		{"run-single --no-such-flag", 2, "", "no-such-flag"},
		{"run-single --config /nonexistent/x.toml", 1, "", "/nonexistent/x.toml"},
		{"run-single --url http://127.0.0.1:1", 1, "", "missing token"},
		{"exec-fetched-job --config x", 2, "", "want one file"},
		{"run-single -u http://127.0.0.1:1 -t x --executor shell --wait-timeout 1 --max-builds 1", 0, "", "no job came in time"},
	} {
		var stdout, stderr bytes.Buffer
		code := subrunner.Main(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%q: %d, %q, %q", tt.args, code, stdout.String(), stderr.String())
		}
	}
}
