// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// What the sub-runner says that it is.
const (
	Version  = "17.9.0"
	Revision = "simulate"
)

const (
	maxAnswer   = 64 << 20
	callTimeout = 2 * time.Minute
)

// userAgent is that of gitlab-runner.
func userAgent() string {
	return fmt.Sprintf("gitlab-runner %s (v%s; %s; %s/%s)", Version, Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// client speaks the runner protocol.
type client struct {
	base     string // without a trailing slash
	http     *http.Client
	executor string
	systemID string
}

// reply is what matters of an answer. Status 0 means that there was none.
type reply struct {
	status    int
	jobStatus string
	size      int64 // of the trace; -1 when the answer does not say
	interval  time.Duration
	update    string // X-GitLab-Last-Update
	body      []byte
	err       error
}

func (c *client) do(ctx context.Context, method, path string, header http.Header, body []byte) reply {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v4/"+path, bytes.NewReader(body))
	if err != nil {
		return reply{err: fmt.Errorf("%s %s: %w", method, path, err)}
	}
	req.Header = header
	req.Header.Set("User-Agent", userAgent())
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{err: fmt.Errorf("%s %s: %w", method, path, err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return reply{err: fmt.Errorf("%s %s: read the answer: %w", method, path, err)}
	}
	return readReply(resp, answer)
}

func readReply(resp *http.Response, body []byte) reply {
	r := reply{
		status: resp.StatusCode, jobStatus: resp.Header.Get("Job-Status"), size: -1,
		update: resp.Header.Get("X-GitLab-Last-Update"), body: body,
	}
	if _, size, found := strings.Cut(resp.Header.Get("Range"), "-"); found {
		if n, err := strconv.ParseInt(size, 10, 64); err == nil {
			r.size = n
		}
	}
	if n, err := strconv.Atoi(resp.Header.Get("X-GitLab-Trace-Update-Interval")); err == nil && n > 0 {
		r.interval = time.Duration(n) * time.Second
	}
	return r
}

// infoOf is what a runner tells about itself.
func infoOf(executor string) map[string]any {
	features := map[string]bool{}
	for name := range strings.FieldsSeq(`artifacts artifacts_exclude cache cancel_gracefully cancelable fallback_cache_keys
		masking multi_build_steps raw_variables refspecs return_exit_code session shared terminal trace_checksum trace_reset
		trace_size upload_multiple_artifacts upload_raw_artifacts variables vault_secrets`) {
		features[name] = true
	}
	docker := executor == "docker"
	for name := range strings.FieldsSeq(`image image_executor_opts service_executor_opts service_multiple_aliases service_variables services`) {
		features[name] = docker
	}
	features["proxy"], features["native_steps_integration"] = false, false
	return map[string]any{
		"name": "gitlab-runner", "version": Version, "revision": Revision, "platform": runtime.GOOS,
		"architecture": runtime.GOARCH, "executor": executor, "shell": "bash",
		"features": features, "config": map[string]any{"gpus": ""},
	}
}

// request asks for a job.
func (c *client) request(ctx context.Context, token, lastUpdate string) reply {
	body := map[string]any{"token": token, "system_id": c.systemID, "info": infoOf(c.executor)}
	if lastUpdate != "" {
		body["last_update"] = lastUpdate
	}
	return c.sendJSON(ctx, http.MethodPost, "jobs/request", token, body)
}

func (c *client) sendJSON(ctx context.Context, method, path, token string, body map[string]any) reply {
	raw, err := json.Marshal(body)
	if err != nil {
		return reply{err: fmt.Errorf("%s %s: %w", method, path, err)}
	}
	header := http.Header{"Content-Type": {"application/json"}, "Private-Token": {token}}
	if method == http.MethodPost { // only where the answer is read
		header.Set("Accept", "application/json")
	}
	return c.do(ctx, method, path, header, raw)
}

// patch appends to the trace.
func (c *client) patch(ctx context.Context, id int64, token string, offset int64, data []byte) reply {
	header := http.Header{
		"Content-Type": {"text/plain"}, "Job-Token": {token},
		"Content-Range": {fmt.Sprintf("%d-%d", offset, offset+int64(len(data))-1)},
	}
	return c.do(ctx, http.MethodPatch, fmt.Sprintf("jobs/%d/trace?debug_trace=false", id), header, data)
}

// outcome is how a job ended; the zero value means that it still runs.
type outcome struct {
	state    string // success or failed
	reason   string
	exitCode int
}

// update tells the coordinator where the job stands.
func (c *client) update(ctx context.Context, id int64, token string, o outcome, sum uint32, size int64) reply {
	checksum := fmt.Sprintf("crc32:%08x", sum)
	body := map[string]any{
		"token": token, "state": o.state, "checksum": checksum, "info": infoOf(c.executor),
		"output": map[string]any{"checksum": checksum, "bytesize": size},
	}
	if o.state == "" {
		body["state"] = "running"
	}
	if o.reason != "" {
		body["failure_reason"] = o.reason
	}
	if o.exitCode != 0 {
		body["exit_code"] = o.exitCode
	}
	return c.sendJSON(ctx, http.MethodPut, fmt.Sprintf("jobs/%d", id), token, body)
}
