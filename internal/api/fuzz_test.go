// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/secret"
)

// FuzzRequests: whatever is sent, the listener answers; nothing is done without the token,
// and no answer repeats a secret.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "/api/v1/notice", "Bearer x", `{"key":"`+key+`","event":"booted"}`)
	f.Add("POST", "/api/v1/audit/forget", "bearer CANARY", `{"key":"kept"}`)
	f.Add("GET", "/api/v1/jobs/100001?coordinator=%zz", "", "")
	f.Add("GET", "/api/../healthz", "Basic x", "")
	f.Fuzz(func(t *testing.T, method, target, authorization, body string) {
		r, err := http.NewRequest(method, "http://127.0.0.1:9252/"+strings.TrimPrefix(target, "/"), strings.NewReader(body))
		if err != nil || strings.Contains(authorization, readSecret) || strings.Contains(authorization, noticeSecret) {
			return
		}
		src := &source{status: busy()}
		w := httptest.NewRecorder()
		r.RemoteAddr, r.RequestURI = "127.0.0.1:1", r.URL.RequestURI()
		r.Header.Set("Authorization", authorization)
		newServer(src, readSecret).Handler().ServeHTTP(w, r)
		if src.released+len(src.forgot)+len(src.noticed) > 0 || strings.Contains(w.Body.String(), "CANARY") && !strings.Contains(target+body, "CANARY") {
			t.Errorf("%d %v %v: %s", src.released, src.forgot, src.noticed, w.Body)
		}
	})
}

// page answers everything the same.
type page struct {
	status     int
	kind, body string
}

// RoundTrip implements http.RoundTripper.
func (p page) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: p.status, Header: http.Header{"Content-Type": {p.kind}}, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

// FuzzClient: whatever listens there, the client comes back and tells no token.
func FuzzClient(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `{"jobs":[{"id":"x"}]}`, `{"detail":"no"}`, "<html>"} {
		f.Add(200, "application/json", s)
		f.Add(403, "application/problem+json", s)
	}
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		if status < 200 || status > 599 {
			return
		}
		c, err := api.NewClient(api.ClientConfig{Address: "127.0.0.1:1", Token: secret.New(readSecret), Transport: page{status, kind, body}})
		if err != nil {
			t.Fatal(err)
		}
		_, s := c.Status(t.Context())
		_, j := c.Jobs(t.Context())
		_, a := c.Audit(t.Context())
		for _, err := range []error{s, j, a, c.Release(t.Context()), c.Forget(t.Context(), key)} {
			if err != nil && strings.Contains(err.Error(), readSecret) && !strings.Contains(body, readSecret) {
				t.Error(err)
			}
		}
	})
}
