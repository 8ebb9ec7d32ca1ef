// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// bench is a server with somebody who calls it.
type bench struct {
	*gitlab.Server
	t *testing.T
}

func newBench(t *testing.T, c gitlab.Config) bench {
	t.Helper()
	return bench{gitlab.New(c), t}
}

// call makes a request; headers are names and values in turn.
func (b bench) call(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	req := httptest.NewRequestWithContext(b.t.Context(), method, "http://gitlab.example"+path, strings.NewReader(body))
	req.Header.Set("User-Agent", "gitlab-runner 17.9.0")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, req)
	return w
}

// expect makes a request and compares its answer, written as "STATUS BODY".
func (b bench) expect(want, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.call(method, path, body, headers...)
	if got := strings.TrimSpace(fmt.Sprintf("%d %s", w.Code, w.Body)); got != want {
		b.t.Errorf("%s %s %.200s %v\n got %s\nwant %s", method, path, body, headers, got, want)
	}
	return w
}

// queue queues a job.
func (b bench) queue(spec string) int64 {
	b.t.Helper()
	var answer struct{ ID int64 }
	w := b.call("POST", "/_sim/jobs", spec)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusCreated {
		b.t.Fatalf("queue %s: %d %s", spec, w.Code, w.Body)
	}
	return answer.ID
}

// granted is what a test reads of a payload.
type granted struct {
	ID         int64
	Token      string
	Variables  []variable
	RunnerInfo struct{ Timeout int } `json:"runner_info"`
	Steps      []struct {
		Name   string
		Script []string
	}
	Dependencies []struct {
		ID            int64
		Token         string
		ArtifactsFile *struct {
			Filename string
			Size     int
		} `json:"artifacts_file"`
	}
	GitInfo struct {
		RepoURL string `json:"repo_url"`
		SHA     string
	} `json:"git_info"`
}

type variable struct {
	Key, Value                string
	Public, File, Masked, Raw bool
}

func (g granted) variable(key string) (found variable) {
	for _, v := range g.Variables {
		if v.Key == key {
			found = v // the last one wins
		}
	}
	return found
}

// graceful is the body of a request of a runner that cancels gracefully.
const graceful = `{"token":"sim-runner-token","info":{"features":{"cancel_gracefully":true}}}`

// acquire asks for a job and gets one.
func (b bench) acquire(body string) granted {
	b.t.Helper()
	w := b.call("POST", "/api/v4/jobs/request", body)
	var g granted
	if err := json.Unmarshal(w.Body.Bytes(), &g); err != nil || w.Code != http.StatusCreated {
		b.t.Fatalf("request a job: %d %s", w.Code, w.Body)
	}
	return g
}

// running queues a job and acquires it.
func (b bench) running(spec string) granted {
	b.t.Helper()
	b.queue(spec)
	return b.acquire(graceful)
}

func (b bench) job(id int64) gitlab.Job {
	b.t.Helper()
	j, ok := b.Job(id)
	if !ok {
		b.t.Fatalf("there is no job %d", id)
	}
	return j
}

// ended checks how a job stands.
func (b bench) ended(id int64, status, reason string) {
	b.t.Helper()
	j := b.job(id)
	got := ""
	if j.FailureReason != nil {
		got = *j.FailureReason
	}
	if j.Status != status || got != reason {
		b.t.Errorf("job %d is %s (%q), want %s (%q)", id, j.Status, got, status, reason)
	}
}

// path is the path of a job, with what follows it.
func (g granted) path(more string) string { return fmt.Sprintf("/api/v4/jobs/%d%s", g.ID, more) }

// update is the body of an update with the job's token.
func (g granted) update(fields string) string { return fmt.Sprintf(`{"token":%q,%s}`, g.Token, fields) }
