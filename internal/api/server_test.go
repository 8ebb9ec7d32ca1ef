// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	key          = "hpd-job-abcdefghij-100001"
	noticeSecret = "notice-CANARY"
	readSecret   = "read-CANARY"
)

// source is a service whose state does not move.
type source struct {
	status  api.Status
	down    bool
	blocked chan struct{} // when set, Status waits for it
	noticed []string

	audit    api.Audit
	released int
	forgot   []string
}

func (s *source) Status() api.Status {
	if s.blocked != nil {
		<-s.blocked
	}
	return s.status
}

func (s *source) Audit() (api.Audit, error) {
	if s.down {
		return api.Audit{}, api.ErrDown
	}
	return s.audit, nil
}

func (s *source) Release() error {
	s.released++
	return nil
}

func (s *source) Forget(key string) error {
	if key != "kept" {
		return api.ErrNotKept
	}
	s.forgot = append(s.forgot, key)
	return nil
}

func (s *source) Notice(k, event, bearer string) error {
	if s.down {
		return api.ErrDown
	}
	if k != key || bearer != noticeSecret {
		return errors.New("no such instance")
	}
	s.noticed = append(s.noticed, event)
	return nil
}

var start = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// busy is a service in the middle of its work.
func busy() api.Status {
	at := func(seconds int) *time.Time { return api.Time(start.Add(time.Duration(seconds) * time.Second)) }
	return api.Status{
		Version: "1.2.3", StartedAt: at(0), At: *at(100), Ready: true,
		Quota:      api.Quota{Used: "6.907", Total: "134.543"},
		Concurrent: api.Count{Used: 2, Limit: 50}, Provisioning: api.Count{Used: 1, Limit: 10},
		Results: map[string]int{"success": 7, "failed": 2},
		Runners: []api.Runner{{
			Name: "clever", Coordinator: "https://gitlab.example", Owner: "abcdefghij", Executor: "clever-docker",
			Polling: true, PollFailures: 3, ListedAt: at(90), Credentials: []api.Credential{{Tenant: "orga_sim", EndsAt: *at(864000)}},
		}},
		Jobs: []api.Job{
			{
				ID: 100001, Coordinator: "https://gitlab.example", Runner: "clever", State: "running", Name: "build",
				Project: "sim/demo", URL: "https://gitlab.example/sim/demo/-/jobs/100001", Tenant: "orga_sim", Flavor: "M",
				Weight: "5.657", Instance: key, AcquiredAt: at(10), LaunchingAt: at(11), StartingAt: at(20), RunningAt: at(40),
			},
			{
				ID: 100002, Coordinator: "https://gitlab.example", Runner: "clever", State: "waiting", Name: "test",
				Project: "sim/demo", Flavor: "3XL", Weight: "76.109", WaitsFor: "the quota", AcquiredAt: at(50), WaitsSince: at(51),
			},
		},
		Instances: []api.Instance{{
			Key: key, JobID: 100001, Coordinator: "https://gitlab.example", Runner: "clever", Tenant: "orga_sim",
			Provisioner: "clever", Zone: "par", Flavor: "M", Weight: "5.657", State: "started", Creates: 1,
			IntendedAt: at(11), CreatedAt: at(15), StartedAt: at(21),
		}},
		Unexplained: 2, ProvenAt: at(50),
		Breakers: []api.Breaker{
			{Provisioner: "clever", Zone: "par", Tenant: "orga_sim", Flavor: "3XL", State: "open", Failures: 4, Since: at(10), Next: at(130), Problem: "Clever Cloud says: no capacity"},
			{Provisioner: "clever", Zone: "par", Tenant: "orga_sim", Flavor: "M", State: "closed", Failures: 1, Since: at(90), Problem: "it is not reachable or is busy"},
		},
	}
}

func newServer(src *source, token string) *api.Server {
	return api.New(api.Config{
		Listen: "127.0.0.1:0", Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Token: secret.New(token),
	}, src)
}

// get asks a handler for one page.
func get(h http.Handler, method, target string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, body)
	r.Host, r.RemoteAddr = "127.0.0.1:9252", "127.0.0.1:40000"
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Host":
			r.Host = header[i+1]
		case "Peer":
			r.RemoteAddr = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-golden +got, -update writes it):\n%s", path, diff)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	full := newServer(&source{status: busy()}, "").Handler()
	empty := newServer(&source{status: api.Status{Version: "1.2.3", At: start, Reasons: []string{"the quota is not known yet"}}}, "").Handler()
	for _, tc := range []struct {
		file   string
		h      http.Handler
		target string
		code   int
		kind   string
	}{
		{"healthz.txt", full, "/healthz", 200, "text/plain; charset=utf-8"},
		{"readyz.json", full, "/readyz", 200, "application/json"},
		{"status.json", full, "/api/v1/status", 200, "application/json"},
		{"jobs.json", full, "/api/v1/jobs", 200, "application/json"},
		{"job.json", full, "/api/v1/jobs/100002", 200, "application/json"},
		{"instances.json", full, "/api/v1/instances", 200, "application/json"},
		{"job-unknown.json", full, "/api/v1/jobs/7", 404, "application/problem+json"},
		{"job-bad.json", full, "/api/v1/jobs/x", 400, "application/problem+json"},
		{"page-unknown.json", full, "/api/v1/nothing", 404, "application/problem+json"},
		{"empty-healthz.txt", empty, "/healthz", 200, "text/plain; charset=utf-8"},
		{"empty-readyz.json", empty, "/readyz", 503, "application/json"},
		{"empty-status.json", empty, "/api/v1/status", 200, "application/json"},
		{"empty-jobs.json", empty, "/api/v1/jobs", 200, "application/json"},
	} {
		w := get(tc.h, "GET", tc.target, nil)
		if w.Code != tc.code || w.Header().Get("Content-Type") != tc.kind {
			t.Errorf("%s: got %d %q, want %d %q", tc.target, w.Code, w.Header().Get("Content-Type"), tc.code, tc.kind)
		}
		golden(t, tc.file, w.Body.Bytes())
	}
}

func TestJobsOfOneIDAtTwoCoordinators(t *testing.T) {
	t.Parallel()
	status := busy()
	twin := status.Jobs[0]
	twin.Coordinator = "https://heptapod.example"
	status.Jobs = append(status.Jobs, twin)
	h := newServer(&source{status: status}, "").Handler()
	if w := get(h, "GET", "/api/v1/jobs/100001", nil); w.Code != 409 || !strings.Contains(w.Body.String(), "https://heptapod.example") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	w := get(h, "GET", "/api/v1/jobs/100001?coordinator=https://heptapod.example", nil)
	var job api.Job
	if err := json.Unmarshal(w.Body.Bytes(), &job); err != nil || job.Coordinator != "https://heptapod.example" {
		t.Errorf("got %d %s, %v", w.Code, w.Body, err)
	}
}

func TestWhoMayRead(t *testing.T) {
	t.Parallel()
	const other = "192.0.2.7:40000"
	for name, tc := range map[string]struct {
		token  string
		header []string
		want   int // of /api/v1
	}{
		"from here":                          {"", nil, 200},
		"from here, by name":                 {"", []string{"Host", "localhost:9252"}, 200},
		"from here, version 6":               {"", []string{"Host", "[::1]:9252", "Peer", "[::1]:40000"}, 200},
		"from here under a foreign name":     {"", []string{"Host", "evil.example:9252"}, 403},
		"from here under no name":            {"", []string{"Host", ""}, 403},
		"through a proxy here":               {"", []string{"X-Forwarded-For", "192.0.2.7"}, 403},
		"from elsewhere":                     {"", []string{"Peer", other}, 403},
		"from elsewhere as localhost":        {"", []string{"Peer", other, "Host", "localhost"}, 403},
		"from elsewhere, some bearer":        {"", []string{"Peer", other, "Authorization", "Bearer x"}, 403},
		"from elsewhere, empty bearer":       {"", []string{"Peer", other, "Authorization", "Bearer "}, 403},
		"from nowhere":                       {"", []string{"Peer", "@"}, 403},
		"token missing":                      {readSecret, []string{"Peer", other}, 401},
		"token wrong":                        {readSecret, []string{"Peer", other, "Authorization", "Bearer wrong"}, 401},
		"token under another scheme":         {readSecret, []string{"Authorization", "Basic " + readSecret}, 401},
		"token right":                        {readSecret, []string{"Peer", other, "Authorization", "Bearer " + readSecret}, 200},
		"token right, foreign name":          {readSecret, []string{"Peer", other, "Authorization", "bearer " + readSecret, "Host", "runner.example"}, 200},
		"a token that is set is needed here": {readSecret, nil, 401},
	} {
		h := newServer(&source{status: busy()}, tc.token).Handler()
		for _, page := range []string{"/api/v1/status", "/api/v1/jobs", "/api/v1/jobs/100001", "/api/v1/instances"} {
			w := get(h, "GET", page, nil, tc.header...)
			if w.Code != tc.want {
				t.Errorf("%s: %s: got %d, want %d", name, page, w.Code, tc.want)
			}
			if tc.want != 200 && strings.Contains(w.Body.String(), "sim/demo") {
				t.Errorf("%s: %s: the refusal shows the state", name, page)
			}
		}
		for _, page := range []string{"/healthz", "/readyz", "/metrics"} {
			if w := get(h, "GET", page, nil, tc.header...); w.Code != 200 {
				t.Errorf("%s: %s: got %d, want it open", name, page, w.Code)
			}
		}
	}
}

func TestNotice(t *testing.T) {
	t.Parallel()
	good := `{"key":"` + key + `","event":"booted","later":1}`
	auth := []string{"Authorization", "Bearer " + noticeSecret}
	for name, tc := range map[string]struct {
		body   string
		header []string
		down   bool
		want   int
	}{
		"good":                     {good, auth, false, 204},
		"no bearer":                {good, nil, false, 401},
		"wrong bearer":             {good, []string{"Authorization", "Bearer x"}, false, 401},
		"another instance":         {`{"key":"hpd-job-abcdefghij-100002","event":"booted"}`, auth, false, 401},
		"not a key":                {`{"key":"production","event":"booted"}`, auth, false, 400},
		"unknown event":            {`{"key":"` + key + `","event":"exploded"}`, auth, false, 400},
		"not JSON":                 {`hello`, auth, false, 400},
		"nothing":                  {``, auth, false, 400},
		"too long":                 {`{"pad":"` + strings.Repeat("x", 8<<10) + `"}`, auth, false, 400},
		"the manager has ended":    {good, auth, true, 503},
		"right under another name": {good, append([]string{"Host", "runner.example"}, auth...), false, 204},
		"right from elsewhere":     {good, append([]string{"Peer", "192.0.2.7:1"}, auth...), false, 204},
	} {
		src := &source{status: busy(), down: tc.down}
		w := get(newServer(src, readSecret).Handler(), "POST", "/api/v1/notice", strings.NewReader(tc.body), tc.header...)
		if w.Code != tc.want {
			t.Errorf("%s: got %d %s, want %d", name, w.Code, w.Body, tc.want)
		}
		if (len(src.noticed) == 1) != (tc.want == 204) {
			t.Errorf("%s: the source was told %v", name, src.noticed)
		}
		if strings.Contains(w.Body.String(), "CANARY") {
			t.Errorf("%s: the answer shows a bearer: %s", name, w.Body)
		}
	}
}

func TestASilentManagerIsNotReadyAndStopsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &source{blocked: make(chan struct{})}
		h := newServer(src, "").Handler()
		began := time.Now()
		for page, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/api/v1/status": 503, "/metrics": 500} {
			w := get(h, "GET", page, nil)
			if w.Code != want {
				t.Errorf("%s: got %d, want %d", page, w.Code, want)
			}
			if want != 200 && !strings.Contains(w.Body.String(), "the manager does not answer") {
				t.Errorf("%s does not say why: %s", page, w.Body)
			}
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("three pages took %v, want 5 s each", took)
		}
		close(src.blocked)
		synctest.Wait()
		src.status.Ready = true
		if w := get(h, "GET", "/readyz", nil); w.Code != 200 {
			t.Errorf("after it woke up: got %d", w.Code)
		}
	})
}

func TestServeAndClient(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- newServer(&source{status: busy()}, readSecret).Serve(ctx, l) }()

	client, err := api.NewClient(api.ClientConfig{Address: l.Addr().String(), Token: secret.New(readSecret)})
	if err != nil {
		t.Fatal(err)
	}
	status, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := busy()
	want.Reasons, want.Strangers = []string{}, []string{}
	if diff := cmp.Diff(want, status); diff != "" {
		t.Error(diff)
	}
	if jobs, err := client.Jobs(t.Context()); err != nil || cmp.Diff(want.Jobs, jobs) != "" {
		t.Errorf("jobs: %v, %v", jobs, err)
	}
	if job, err := client.Job(t.Context(), 100001, "https://gitlab.example"); err != nil || cmp.Diff(want.Jobs[0], job) != "" {
		t.Errorf("job: %v, %v", job, err)
	}
	if instances, err := client.Instances(t.Context()); err != nil || cmp.Diff(want.Instances, instances) != "" {
		t.Errorf("instances: %v, %v", instances, err)
	}
	var p *api.Problem
	if _, err := client.Job(t.Context(), 7, ""); !errors.As(err, &p) || p.Status != 404 {
		t.Errorf("unknown job: %v", err)
	}

	stop()
	if err := <-ended; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	if _, err := client.Status(t.Context()); !errors.Is(err, api.ErrUnreachable) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("after the end: %v", err)
	}
}

func TestRunSaysThatTheAddressIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	server := api.New(api.Config{Listen: l.Addr().String(), Log: slog.New(slog.DiscardHandler)}, &source{})
	if err := server.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "status listener") {
		t.Errorf("got %v", err)
	}
}

func TestClientOfSomethingElse(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, bytes.NewBufferString("<html>welcome</html>"))
	}))
	defer other.Close()
	client, err := api.NewClient(api.ClientConfig{Address: strings.TrimPrefix(other.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "is another one listening there?") {
		t.Errorf("got %v", err)
	}
	if _, err := api.NewClient(api.ClientConfig{Address: "nowhere"}); err == nil {
		t.Error("an address without a port is accepted")
	}
}
