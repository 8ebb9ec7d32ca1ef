// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const afterScriptLimit = 5 * time.Minute

// job is one job while it runs.
type job struct {
	p       *payload
	s       section
	c       *client
	trace   *trace
	place   workspace
	vars    []Variable
	project string
	shell   string
}

// exitError: the user's script failed.
type exitError struct{ code int }

// Error implements error.
func (e *exitError) Error() string { return "exit status " + strconv.Itoa(e.code) }

// runJob runs a job and reports it to the end. terminate, when closed, aborts it;
// a cancelled ctx means that the machine is gone: nothing more is sent.
func runJob(ctx context.Context, c *client, s section, p *payload, t *trace, o Options) outcome {
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if p.RunnerInfo.Timeout > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeoutCause(run, time.Duration(p.RunnerInfo.Timeout)*time.Second, errTimeout)
		defer cancel()
	}
	report := newReporter(c, p, t, stop)
	ended := report.start(ctx)
	watched := make(chan struct{})
	defer close(watched)
	go func() {
		select {
		case <-o.Terminate:
			stop(errTerminated)
		case <-watched:
		}
	}()
	j := &job{p: p, s: s, c: c, trace: t, shell: o.Shell.name(), project: projectDir(o.Dir, s, p)}
	result := j.end(j.run(run, ctx, o.Shell))
	t.flush()
	ended()
	if ctx.Err() == nil {
		report.finish(ctx, result)
	}
	return result
}

func projectDir(dir string, s section, p *payload) string {
	builds := s.BuildsDir
	if builds == "" {
		builds = filepath.Join(dir, "builds")
	}
	path := p.variable("CI_PROJECT_PATH")
	if path == "" {
		path = "project"
	}
	return filepath.Join(builds, s.shortToken(), "0", filepath.FromSlash(filepath.Clean("/"+path)))
}

// run goes through the stages. alive ends with the machine, ctx with the job.
func (j *job) run(ctx, alive context.Context, shell Shell) error {
	j.trace.printf("\x1b[0KRunning with gitlab-runner %s (%s)\x1b[0;m\n\x1b[0K  on %s %s, system ID: %s\x1b[0;m\n",
		Version, Revision, j.s.Name, j.s.shortToken(), j.c.systemID)
	j.vars = j.variables()
	err := j.section("prepare_executor", `Preparing the "shell" executor`, func() error {
		j.trace.printf("\x1b[0KUsing Shell (%s) executor...\x1b[0;m\n", j.shell)
		var err error
		j.place, err = shell.open(place{project: j.project, vars: j.vars, payload: j.p, out: j.trace})
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = j.place.close() }() // what stays behind goes with the machine
	err = j.steps(ctx)
	if err != nil && context.Cause(ctx) != nil && !errors.Is(err, context.Cause(ctx)) {
		err = context.Cause(ctx)
	}
	j.warn(err)
	if !errors.Is(err, errAborted) && !errors.Is(err, errTerminated) && !errors.Is(err, errTimeout) && alive.Err() == nil {
		j.afterScript(alive, err)
		if !errors.Is(err, errCanceled) {
			err = errors.Join(err, j.upload(ctx, err))
		}
		_ = j.section("cleanup_file_variables", "Cleaning up project directory and file based variables", func() error { return nil })
	}
	return err
}

// steps are the stages up to the script.
func (j *job) steps(ctx context.Context) error {
	host := "this computer"
	err := j.section("prepare_script", "Preparing environment", func() error {
		j.trace.printf("Running on %s...\n", host)
		return nil
	})
	if err == nil {
		err = j.section("get_sources", "Getting source from Git repository", func() error { return j.place.getSources(ctx) })
	}
	if err == nil && len(j.p.Dependencies) > 0 {
		err = j.section("download_artifacts", "Downloading artifacts", func() error { return j.download(ctx) })
	}
	if err != nil {
		return err
	}
	lines := j.p.script("script")
	for _, s := range j.p.Steps {
		if s.Name != "script" && s.Name != "after_script" {
			lines = append(slices.Clone(lines), s.Script...)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return j.section("step_script", `Executing "step_script" stage of the job script`, func() error {
		return exited(j.place.run(ctx, lines, j.status("running")))
	})
}

func exited(code int, err error) error {
	if err == nil && code != 0 {
		return &exitError{code}
	}
	return err
}

func (j *job) section(name, title string, f func() error) error {
	j.trace.printf("section_start:%d:%s\r\x1b[0K\x1b[0K\x1b[36;1m%s\x1b[0;m\x1b[0;m\n", time.Now().Unix(), name, title)
	err := f()
	j.trace.flush()
	j.trace.printf("section_end:%d:%s\r\x1b[0K", time.Now().Unix(), name)
	return err
}

// warn says why the script was stopped.
func (j *job) warn(err error) {
	switch {
	case errors.Is(err, errCanceled):
		j.trace.printf("\x1b[0;33mWARNING: script canceled externally (UI, API)\x1b[0;m\n")
	case errors.Is(err, errTimeout):
		j.trace.printf("\x1b[0;33mWARNING: step_script could not run to completion because the timeout was exceeded.\x1b[0;m\n")
	case errors.Is(err, errAborted), errors.Is(err, errTerminated):
		j.trace.printf("\x1b[0;33mWARNING: after_script failed, but job will continue unaffected: context canceled\x1b[0;m\n")
	}
}

// afterScript runs in a shell of its own; how it ends changes nothing.
func (j *job) afterScript(ctx context.Context, failed error) {
	lines := j.p.script("after_script")
	if len(lines) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, afterScriptLimit)
	defer cancel()
	status := "success"
	switch {
	case errors.Is(failed, errCanceled):
		status = "canceled"
	case failed != nil:
		status = "failed"
	}
	err := j.section("after_script", "Running after_script", func() error {
		j.trace.printf("\x1b[32;1mRunning after script...\x1b[0;m\n")
		return exited(j.place.run(ctx, lines, j.status(status)))
	})
	if err != nil {
		j.trace.printf("\x1b[0;33mWARNING: after_script failed, but job will continue unaffected: %s\x1b[0;m\n", err)
	}
}

// end says the last words and decides what is reported.
func (j *job) end(err error) outcome {
	fail := func(reason, text string) outcome {
		j.trace.printf("\x1b[31;1mERROR: Job failed%s\n\x1b[0;m\n", text)
		return outcome{state: "failed", reason: j.p.reason(reason)}
	}
	exit, isExit := errors.AsType[*exitError](err)
	switch {
	case err == nil:
		j.trace.printf("\x1b[32;1mJob succeeded\x1b[0;m\n")
		return outcome{state: "success"}
	case errors.Is(err, errCanceled), errors.Is(err, errAborted):
		return fail("job_canceled", ": canceled")
	case errors.Is(err, errTimeout):
		return fail("job_execution_timeout", fmt.Sprintf(": execution took longer than %s seconds", time.Duration(j.p.RunnerInfo.Timeout)*time.Second))
	case isExit:
		o := fail("script_failure", ": "+exit.Error())
		o.exitCode = exit.code
		return o
	case errors.Is(err, errScript):
		return fail("script_failure", ": "+err.Error())
	}
	return fail("runner_system_failure", " (system failure): "+err.Error())
}

// errScript: a stage around the user's script failed for the user's reasons.
var errScript = errors.New("script failure")

// reason is what may be sent for a failure: only what the coordinator knows.
func (p *payload) reason(r string) string {
	basic := []string{"script_failure", "runner_system_failure", "job_execution_timeout"}
	if slices.Contains(basic, r) || slices.Contains(p.Features.FailureReasons, r) {
		return r
	}
	return "unknown_failure"
}

// variables are those of the job with the runner's own, expanded.
func (j *job) variables() []Variable {
	list := slices.Clone(j.p.Variables)
	own := []string{
		"CI_BUILDS_DIR", filepath.Dir(filepath.Dir(filepath.Dir(j.project))), "CI_PROJECT_DIR", j.project,
		"CI_CONCURRENT_ID", "0", "CI_CONCURRENT_PROJECT_ID", "0", "CI_SERVER", "yes",
		"CI_JOB_TIMEOUT", strconv.Itoa(j.p.RunnerInfo.Timeout), "CI_RUNNER_SHORT_TOKEN", j.s.shortToken(),
		"CI_RUNNER_VERSION", Version, "CI_RUNNER_REVISION", Revision,
		"CI_RUNNER_EXECUTABLE_ARCH", runtime.GOOS + "/" + runtime.GOARCH,
		"RUNNER_TEMP_PROJECT_DIR", j.project + ".tmp",
	}
	for pair := range slices.Chunk(own, 2) {
		list = append(list, Variable{Key: pair[0], Value: pair[1], Raw: true})
	}
	for _, e := range j.s.Environment {
		k, v, _ := strings.Cut(e, "=")
		list = slices.Insert(list, 0, Variable{Key: k, Value: v})
	}
	values := map[string]string{}
	for _, v := range list {
		values[v.Key] = v.Value
		if v.File {
			values[v.Key] = filepath.Join(j.project+".tmp", v.Key)
		}
	}
	for i, v := range list {
		if !v.Raw && !v.File {
			list[i].Value = expand(v.Value, values)
		}
	}
	return list
}

func (j *job) status(s string) []Variable {
	return append(slices.Clone(j.vars), Variable{Key: "CI_JOB_STATUS", Value: s, Raw: true})
}
