// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// job is one job while it runs.
type job struct {
	runner runner
	p      *payload
	engine docker
	prefix string // of the names of what is made

	network    string // given to every container
	ours       string // the network that was made here, or ""
	aliased    bool   // the network has names: it is no default bridge
	links      []string
	volumes    []string
	binds      []string
	containers []string

	mu     sync.Mutex
	report *report
}

// failure is a job's end that is not success.
type failure struct {
	reason string
	code   int
	text   string
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// Write implements io.Writer: output of the job.
func (j *job) Write(text []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.report.trace = append(j.report.trace, text...)
	return len(text), nil
}

// runJob runs a job to its reported end, also after a signal.
func runJob(signalled context.Context, r runner, c *client, p *payload, log io.Writer) {
	ctx, stop := context.WithCancel(signalled)
	defer stop()
	j := &job{
		runner: r, p: p, engine: newDocker(), report: &report{c: c, p: p, stop: stop},
		prefix: fmt.Sprintf("runner-%s-project-%d-concurrent-0-job-%d", r.short(), p.JobInfo.ProjectID, p.ID),
	}
	fmt.Fprintf(j, "Running with gitlab-runner 17.9.0 (stand-in)\n  on %s %s\n", r.Name, r.short())
	end := context.WithoutCancel(signalled)
	flushed := make(chan struct{})
	go j.keepFlushing(ctx, flushed)
	err := j.run(ctx)
	j.cleanup(end, log)
	if f := (*failure)(nil); err != nil && !errors.As(err, &f) {
		err = &failure{reason: "runner_system_failure", text: " (system failure): " + err.Error()}
	}
	stop()
	<-flushed
	j.finish(end, err, log)
}

func (j *job) finish(ctx context.Context, err error, log io.Writer) {
	state, f := "success", &failure{}
	if errors.As(err, &f) {
		state = "failed"
		fmt.Fprintf(j, "ERROR: Job failed%s\n", f.text)
	} else {
		fmt.Fprint(j, "Job succeeded\n")
	}
	j.report.end(ctx, state, f.reason, f.code, log)
}

// keepFlushing sends the trace while the job runs.
func (j *job) keepFlushing(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	for ctx.Err() == nil {
		j.mu.Lock()
		j.report.flush(ctx)
		j.mu.Unlock()
		sleep(ctx, time.Second)
	}
}

func (j *job) run(ctx context.Context) error {
	fmt.Fprint(j, "Preparing the \"docker\" executor\n")
	for _, step := range []func(context.Context) error{j.prepare, j.startServices, j.download, j.build, j.upload} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) labels(kind string) map[string]string {
	const of = "com.gitlab.gitlab-runner."
	return map[string]string{
		of + "managed": "true", of + "job.id": strconv.FormatInt(j.p.ID, 10), of + "runner.id": j.runner.short(), of + "type": kind,
	}
}

// prepare makes the network, when there is to be one, and the volumes.
func (j *job) prepare(ctx context.Context) error {
	j.network = cmp.Or(j.runner.Docker.NetworkMode, "bridge")
	j.aliased = j.network != "bridge"
	if feature(j.runner, j.p, "FF_NETWORK_PER_BUILD") && j.runner.Docker.NetworkMode == "" {
		var n made
		wish := map[string]any{"Name": j.prefix + "-network", "Labels": j.labels("network")}
		if err := j.engine.call(ctx, http.MethodPost, "/networks/create", wish, &n); err != nil {
			return err
		}
		j.network, j.ours, j.aliased = n.ID, n.ID, true
	}
	paths := []string{"/builds"}
	for _, v := range j.runner.Docker.Volumes {
		switch {
		case strings.Contains(v, ":"):
			j.binds = append(j.binds, v)
		case !j.runner.Docker.DisableCache:
			paths = append(paths, v)
		}
	}
	for i, path := range paths {
		name := j.prefix + "-cache-" + strconv.Itoa(i)
		wish := map[string]any{"Name": name, "Labels": j.labels("cache")}
		if err := j.engine.call(ctx, http.MethodPost, "/volumes/create", wish, nil); err != nil {
			return err
		}
		j.volumes, j.binds = append(j.volumes, name), append(j.binds, name+":"+path)
	}
	return nil
}

// start starts one of the job's containers.
func (j *job) start(ctx context.Context, name, kind string, aliases []string, config map[string]any) (string, error) {
	host := map[string]any{"NetworkMode": j.network, "Binds": j.binds, "Links": j.links}
	j.runner.limits(kind).put(host)
	labels := j.labels(kind)
	maps.Copy(labels, j.runner.Docker.Labels) // containers get these, networks and volumes don't
	config["HostConfig"], config["Labels"], config["Tty"] = host, labels, true
	if j.aliased {
		delete(host, "Links")
		config["NetworkingConfig"] = map[string]any{
			"EndpointsConfig": map[string]any{j.network: map[string]any{"Aliases": aliases}},
		}
	}
	id, err := j.engine.start(ctx, j.prefix+"-"+name, config)
	if id != "" {
		j.containers = append(j.containers, id)
	}
	return id, err
}

func (j *job) startServices(ctx context.Context) error {
	var links []string
	for i, s := range j.p.Services {
		name := "service-" + strconv.Itoa(i)
		if _, err := j.start(ctx, name, "service", s.aliases(), map[string]any{"Image": s.Name}); err != nil {
			return err
		}
		for _, alias := range s.aliases() {
			links = append(links, j.prefix+"-"+name+":"+alias)
		}
	}
	j.links = links
	return nil
}

// helper runs one command of the helper's, in a container of its own.
func (j *job) helper(ctx context.Context, name string, args ...string) error {
	id, err := j.start(ctx, "predefined-"+name, "helper", nil, map[string]any{
		"Image": j.runner.Docker.HelperImage, "Cmd": append([]string{"gitlab-runner-helper"}, args...), "Env": []string{"JOB_TOKEN=" + j.p.Token},
	})
	if err != nil {
		return err
	}
	code, err := j.engine.follow(ctx, id, j)
	if err == nil && code != 0 {
		err = &failure{reason: "script_failure", code: 1, text: ": exit code 1"}
	}
	return err
}

func (j *job) download(ctx context.Context) error {
	for _, d := range j.p.Dependencies {
		if d.File.Name == "" {
			continue
		}
		id := strconv.FormatInt(d.ID, 10)
		args := []string{"artifacts-downloader", "--url", j.runner.URL, "--token", d.Token, "--id", id, "--dir", j.p.dir()}
		if err := j.helper(ctx, "download-"+id, args...); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) upload(ctx context.Context) error {
	for i, a := range j.p.Artifacts {
		args := []string{"artifacts-uploader", "--url", j.runner.URL, "--token", j.p.Token, "--id", strconv.FormatInt(j.p.ID, 10)}
		args = append(args, "--dir", j.p.dir(), "--name", a.Name, "--artifact-type", a.Type)
		for _, path := range a.Paths {
			args = append(args, "--path", path)
		}
		if err := j.helper(ctx, "upload-"+strconv.Itoa(i), args...); err != nil {
			return err
		}
	}
	return nil
}

// build runs the script, then after_script whose end changes nothing.
func (j *job) build(ctx context.Context) error {
	code, err := j.script(ctx, "script")
	if err != nil {
		return err
	}
	if _, err := j.script(ctx, "after_script"); err != nil {
		return err
	}
	if code != 0 {
		return &failure{reason: "script_failure", code: code, text: ": exit code " + strconv.Itoa(code)}
	}
	return nil
}

func (j *job) script(ctx context.Context, step string) (int, error) {
	text := j.p.script(step)
	if text == "" {
		return 0, nil
	}
	image := j.runner.Docker.Image
	if j.p.Image != nil {
		image = j.p.Image.Name
	}
	env := []string{"CI_PROJECT_DIR=" + j.p.dir()}
	for _, v := range j.p.Variables {
		env = append(env, v.Key+"="+v.Value)
	}
	id, err := j.start(ctx, "build-"+step, "build", []string{"build"}, map[string]any{
		"Image": image, "Env": env, "Cmd": []string{"sh", "-c", "set -e; mkdir -p " + j.p.dir() + "; cd " + j.p.dir() + "\n" + text},
	})
	if err != nil {
		return 0, err
	}
	return j.engine.follow(ctx, id, j)
}

// cleanup removes what was made for the job, as far as it still can.
func (j *job) cleanup(ctx context.Context, log io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, id := range slices.Backward(j.containers) {
		if err := j.engine.removeContainer(ctx, id); err != nil {
			fmt.Fprintln(log, "WARNING: cleanup:", err)
		}
	}
	if j.ours != "" {
		if err := j.engine.removeNetwork(ctx, j.ours); err != nil {
			fmt.Fprintln(log, "WARNING: cleanup:", err)
		}
	}
	for _, name := range j.volumes {
		if err := j.engine.call(ctx, http.MethodDelete, "/volumes/"+name, nil, nil); err != nil {
			fmt.Fprintln(log, "WARNING: cleanup:", err)
		}
	}
}
