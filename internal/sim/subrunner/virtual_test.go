// SPDX-License-Identifier: Apache-2.0

package subrunner_test

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/sim/fault"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/memnet"
	"heptapod-paas-runner/internal/sim/subrunner"
)

const coordinator = "http://gitlab.test"

// bubble is a coordinator on a network in memory, in simulated time.
type bubble struct {
	t    *testing.T
	s    *gitlab.Server
	net  *memnet.Network
	quit chan struct{}
	term chan struct{}
}

func inBubble(t *testing.T, f func(b *bubble)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, s: gitlab.New(gitlab.Config{URL: coordinator, LongPoll: -1}), net: memnet.New(memnet.Config{}), quit: make(chan struct{}), term: make(chan struct{})}
		l, err := b.net.Listen("gitlab.test")
		if err != nil {
			t.Fatal(err)
		}
		web := &http.Server{Handler: b.s}
		served := make(chan error)
		go func() { served <- web.Serve(l) }()
		f(b)
		_ = web.Close()
		b.net.Close()
		<-served
	})
}

func (b *bubble) queue(spec gitlab.Spec) int64 {
	b.t.Helper()
	id, err := b.s.Queue(spec)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bubble) fault(f fault.Fault) {
	b.t.Helper()
	if _, err := b.s.Panel().Add(f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) job(id int64) gitlab.Job {
	b.t.Helper()
	j, ok := b.s.Job(id)
	if !ok {
		b.t.Fatalf("no job %d", id)
	}
	return j
}

func (b *bubble) options() subrunner.Options {
	return subrunner.Options{
		URL: coordinator, Token: gitlab.RunnerToken, Executor: "shell", RunnerName: "lab", MaxBuilds: 1,
		WaitTimeout: time.Minute, Transport: b.net.Transport(), Shell: subrunner.Virtual{}, Dir: "/virtual",
		Quit: b.quit, Terminate: b.term,
	}
}

// run runs one job to its end and tells how long it took.
func (b *bubble) run() time.Duration {
	b.t.Helper()
	start := time.Now()
	if err := subrunner.RunSingle(b.t.Context(), b.options()); err != nil {
		b.t.Errorf("RunSingle: %v", err)
	}
	return time.Since(start)
}

// start runs one job beside the test; the returned function waits for it.
func (b *bubble) start() func() {
	ended := make(chan struct{})
	go func() { defer close(ended); b.run() }()
	return func() { <-ended }
}

func reason(j gitlab.Job) string {
	if j.FailureReason == nil {
		return ""
	}
	return *j.FailureReason
}

func virtualFor(seconds float64) *float64 { return &seconds }

func TestJobSucceeds(t *testing.T) {
	inBubble(t, func(b *bubble) {
		id := b.queue(gitlab.Spec{Script: []string{"echo one", "echo two $CI_JOB_ID"}, AfterScript: []string{"echo status=$CI_JOB_STATUS"}, VirtualSeconds: virtualFor(90)})
		if took := b.run(); took < 90*time.Second || took > 95*time.Second {
			t.Errorf("took %v", took)
		}
		j := b.job(id)
		if j.Status != "success" || j.ExitCode != nil && *j.ExitCode != 0 {
			t.Errorf("job %+v", j)
		}
		trace := regexp.MustCompile(`:\d+:`).ReplaceAllString(j.Trace, ":T:")
		for _, want := range []string{
			"\x1b[0KRunning with gitlab-runner 17.9.0 (", "  on lab ", "section_start:T:step_script\r\x1b[0K",
			"\x1b[32;1m$ echo one\x1b[0;m\none\n", fmt.Sprintf("two %d\n", id), "section_end:T:step_script\r\x1b[0K",
			"status=success\n", "\x1b[32;1mJob succeeded\x1b[0;m\n",
		} {
			if !strings.Contains(trace, want) {
				t.Errorf("%q is not in the trace:\n%s", want, trace)
			}
		}
		if b.calls("PUT") != 3 { // both commands are silent for more than 30 s, then the outcome
			t.Errorf("%d updates", b.calls("PUT"))
		}
	})
}

// calls counts the requests of a method.
func (b *bubble) calls(method string) int {
	n := 0
	for _, r := range b.s.Panel().Requests() {
		if r.Method == method {
			n++
		}
	}
	return n
}

func TestJobFailsWithItsExitCode(t *testing.T) {
	inBubble(t, func(b *bubble) {
		id := b.queue(gitlab.Spec{Script: []string{"exit 3", "echo never"}, AfterScript: []string{"echo status=$CI_JOB_STATUS"}, VirtualSeconds: virtualFor(2)})
		b.run()
		j := b.job(id)
		if j.Status != "failed" || reason(j) != "script_failure" || j.ExitCode == nil || *j.ExitCode != 3 {
			t.Errorf("job %+v", j)
		}
		if strings.Contains(j.Trace, "never\n") || !strings.Contains(j.Trace, "status=failed") || !strings.Contains(j.Trace, "ERROR: Job failed: exit status 3\n") {
			t.Errorf("trace:\n%s", j.Trace)
		}
	})
}

func TestCancelRunsAfterScript(t *testing.T) {
	inBubble(t, func(b *bubble) {
		id := b.queue(gitlab.Spec{Script: []string{"echo one", "echo two"}, AfterScript: []string{"echo status=$CI_JOB_STATUS"}, VirtualSeconds: virtualFor(3000)})
		wait := b.start()
		time.Sleep(10 * time.Second) // simulated
		b.s.Cancel(id)
		if s := b.job(id).Status; s != "canceling" {
			t.Errorf("status %s", s)
		}
		canceled := time.Now()
		wait()
		if took := time.Since(canceled); took > 34*time.Second { // the job is silent: the sign of life tells
			t.Errorf("took %v", took)
		}
		j := b.job(id)
		if j.Status != "canceled" || !strings.Contains(j.Trace, "status=canceled") || !strings.Contains(j.Trace, "ERROR: Job failed: canceled") {
			t.Errorf("job %s:\n%s", j.Status, j.Trace)
		}
	})
}

func TestTimeout(t *testing.T) {
	inBubble(t, func(b *bubble) {
		id := b.queue(gitlab.Spec{Script: []string{"echo one"}, Timeout: gitlab.Seconds(6 * time.Second), VirtualSeconds: virtualFor(3000)})
		if took := b.run(); took > 8*time.Second {
			t.Errorf("took %v", took)
		}
		if j := b.job(id); reason(j) != "job_execution_timeout" || !strings.Contains(j.Trace, "execution took longer than 6s seconds") {
			t.Errorf("job %+v", j)
		}
	})
}

func TestStopSignals(t *testing.T) {
	t.Run("terminate aborts", func(t *testing.T) {
		inBubble(t, func(b *bubble) {
			id := b.queue(gitlab.Spec{Script: []string{"echo one"}, AfterScript: []string{"echo after"}, VirtualSeconds: virtualFor(3000)})
			wait := b.start()
			time.Sleep(10 * time.Second) // simulated
			close(b.term)
			wait()
			if j := b.job(id); reason(j) != "runner_system_failure" || strings.Contains(j.Trace, "$ echo after") || !strings.Contains(j.Trace, "aborted: terminated") {
				t.Errorf("job %+v", j)
			}
		})
	})
	t.Run("quit finishes", func(t *testing.T) {
		inBubble(t, func(b *bubble) {
			id := b.queue(gitlab.Spec{Script: []string{"echo one"}, VirtualSeconds: virtualFor(100)})
			other := b.queue(gitlab.Spec{Script: []string{"echo two"}})
			o := b.options()
			o.MaxBuilds = 0
			ended := make(chan error)
			go func() { ended <- subrunner.RunSingle(b.t.Context(), o) }()
			time.Sleep(10 * time.Second) // simulated
			close(b.quit)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if b.job(id).Status != "success" || b.job(other).Status != "pending" {
				t.Errorf("%s and %s", b.job(id).Status, b.job(other).Status)
			}
		})
	})
}

func TestLeavesWithoutAJob(t *testing.T) {
	inBubble(t, func(b *bubble) {
		if took := b.run(); took != time.Minute {
			t.Errorf("took %v", took)
		}
		if n := b.calls("POST"); n != 20 && n != 21 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestFinalUpdateIsRepeatedAsThePlatformAsks(t *testing.T) {
	for name, f := range map[string]fault.Fault{
		"not yet persisted": {Match: "PUT /api/v4/jobs/*", Times: new(3), Status: 202, Headers: map[string]string{"X-GitLab-Trace-Update-Interval": "2"}},
		"wrong checksum":    {Match: "PUT /api/v4/jobs/*", Status: 412},
		"down":              {Match: "PUT /api/v4/jobs/*", Times: new(4), Status: 500},
		"cut":               {Match: "PUT /api/v4/jobs/*", Times: new(2), Drop: "before"},
		"trace down":        {Match: "PATCH /api/v4/jobs/*/trace", Times: new(3), Status: 503},
		"trace limited":     {Match: "PATCH /api/v4/jobs/*/trace", Times: new(2), Status: 429},
		"trace gone back":   {Match: "PATCH /api/v4/jobs/*/trace", Status: 416, Headers: map[string]string{"Range": "0-0"}},
		"answer lost":       {Match: "PATCH /api/v4/jobs/*/trace", Drop: "after"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				id := b.queue(gitlab.Spec{Script: []string{"echo one", "echo two"}, VirtualSeconds: virtualFor(10)})
				b.fault(f)
				b.run()
				j := b.job(id)
				if j.Status != "success" || strings.Count(j.Trace, "Job succeeded") != 1 || strings.Count(j.Trace, "Running with") != 1 {
					t.Errorf("%s:\n%s", j.Status, j.Trace)
				}
			})
		})
	}
}

func TestGivesUpWhenRefused(t *testing.T) {
	for name, f := range map[string]fault.Fault{
		"trace forbidden": {Match: "PATCH /api/v4/jobs/*/trace", Times: new(0), Status: 403, Headers: map[string]string{"Job-Status": "failed"}},
		"canceled hard":   {Match: "PATCH /api/v4/jobs/*/trace", Times: new(0), Status: 202, Headers: map[string]string{"Job-Status": "canceled"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				b.queue(gitlab.Spec{Script: []string{"echo one", "echo two"}, AfterScript: []string{"echo after"}, VirtualSeconds: virtualFor(1000)})
				b.fault(f)
				if took := b.run(); took > 10*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestForbiddenRequestWaitsLong(t *testing.T) {
	inBubble(t, func(b *bubble) {
		o := b.options()
		o.Token, o.WaitTimeout = "wrong", 20*time.Minute
		if err := subrunner.RunSingle(b.t.Context(), o); err != nil {
			t.Error(err)
		}
		if n := b.calls("POST"); n != 5 && n != 4 {
			t.Errorf("asked %d times in 20 minutes", n)
		}
	})
}

// What a relay and its sub-runner do together: the log goes on behind a prefix.
func TestPayloadIsRunBehindAPrefix(t *testing.T) {
	inBubble(t, func(b *bubble) {
		id := b.queue(gitlab.Spec{Script: []string{"echo one"}, VirtualSeconds: virtualFor(5)})
		payload, token := b.acquire()
		prefix := "waiting for an instance\n"
		b.patch(id, token, prefix)
		o := b.options()
		if err := subrunner.ExecPayload(b.t.Context(), o, payload, int64(len(prefix)), crc32.ChecksumIEEE([]byte(prefix))); err != nil {
			t.Error(err)
		}
		if j := b.job(id); j.Status != "success" || !strings.HasPrefix(j.Trace, prefix+"\x1b[0KRunning with") {
			t.Errorf("%s:\n%s", j.Status, j.Trace)
		}
	})
}

func TestFetchedJob(t *testing.T) {
	inBubble(t, func(b *bubble) {
		id := b.queue(gitlab.Spec{Script: []string{"false"}})
		payload, _ := b.acquire()
		dir := t.TempDir()
		job, config := filepath.Join(dir, "job.json"), filepath.Join(dir, "runner.toml")
		if err := os.WriteFile(job, payload, 0o600); err != nil {
			t.Fatal(err)
		}
		text := "[[runners]]\nname = \"lab\"\nurl = \"" + coordinator + "/\"\ntoken = \"stand-in\"\nexecutor = \"docker\"\n[runners.docker]\nimage = \"x\"\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := b.options()
		o.ConfigFile, o.RunnerName = config, ""
		if err := subrunner.ExecFetchedJob(b.t.Context(), o, job); err != nil {
			t.Error(err)
		}
		if j := b.job(id); reason(j) != "script_failure" || *j.ExitCode != 1 {
			t.Errorf("job %+v", j)
		}
		if err := subrunner.ExecFetchedJob(b.t.Context(), o, config); err == nil {
			t.Error("a job that is not JSON was accepted")
		}
		o.RunnerName = "other"
		if err := subrunner.ExecFetchedJob(b.t.Context(), o, job); err == nil || !strings.Contains(err.Error(), `name "other"`) {
			t.Errorf("another runner's name: %v", err)
		}
	})
}
