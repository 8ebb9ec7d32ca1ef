// SPDX-License-Identifier: Apache-2.0

package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/sim/fault"
)

// served is a panel before a server that counts what it performs.
type served struct {
	url       string
	performed atomic.Int64
	client    *http.Client
}

func serve(t *testing.T, c fault.Config) *served {
	t.Helper()
	s := &served{}
	ts := httptest.NewServer(fault.New(c).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.performed.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "performed")
	})))
	t.Cleanup(ts.Close)
	s.url, s.client = ts.URL, ts.Client()
	s.client.Transport.(*http.Transport).DisableKeepAlives = true // Go repeats a GET that was cut on a used connection
	return s
}

// ask makes a request and tells status and body, or "cut".
func (s *served) ask(t *testing.T, method, path, body string) (string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "test/1")
	resp, err := s.client.Do(req)
	if err != nil {
		return "cut", nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, text)), resp.Header
}

func (s *served) expect(t *testing.T, method, path, body, want string) {
	t.Helper()
	if got, _ := s.ask(t, method, path, body); got != want {
		t.Errorf("%s %s %s\n got %s\nwant %s", method, path, body, got, want)
	}
}

func TestFaultsStrikeInOrderOfArrival(t *testing.T) {
	t.Parallel()
	s := serve(t, fault.Config{})
	s.expect(t, "POST", "/_sim/faults", `{"match":"POST /v2/organisations/*/applications","times":2,"status":503,"body":"down","headers":{"Retry-After":"7"}}`, `201 {"id":1}`)
	s.expect(t, "POST", "/_sim/faults", `{"match":"* /v2/organisations/*/applications","status":418}`, `201 {"id":2}`)

	if got, h := s.ask(t, "POST", "/v2/organisations/a/applications?q=1", "x"); got != "503 down" || h.Get("Retry-After") != "7" {
		t.Errorf("first = %s, Retry-After %q", got, h.Get("Retry-After"))
	}
	s.expect(t, "POST", "/v2/organisations/a%2Fb/applications", "x", "503 down")
	s.expect(t, "POST", "/v2/organisations/a/b/applications", "x", "202 performed")
	s.expect(t, "POST", "/v2/organisations//applications", "x", "202 performed")
	s.expect(t, "POST", "/v2/organisations/a/applications/b", "x", "202 performed")
	s.expect(t, "POST", "/v2/organisations/a/applications", "x", "418")
	s.expect(t, "POST", "/v2/organisations/a/applications", "x", "202 performed")
	if n := s.performed.Load(); n != 4 {
		t.Errorf("%d requests were performed, want 4: a status answers without performing", n)
	}
	s.expect(t, "GET", "/_sim/faults", "", `200 [{"id":1,"match":"POST /v2/organisations/*/applications","times":2,"status":503,"body":"down","headers":{"Retry-After":"7"},"left":0},{"id":2,"match":"* /v2/organisations/*/applications","times":1,"status":418,"left":0}]`)
	s.expect(t, "DELETE", "/_sim/faults", "", "204")
	s.expect(t, "GET", "/_sim/faults", "", "200 []")
	s.expect(t, "PUT", "/_sim/faults", "", "405 Method Not Allowed")
}

func TestZeroTimesMeansUntilCleared(t *testing.T) {
	t.Parallel()
	s := serve(t, fault.Config{})
	s.expect(t, "POST", "/_sim/faults", `{"match":"GET /x","times":0,"status":500}`, `201 {"id":1}`)
	for range 5 {
		s.expect(t, "GET", "/x", "", "500")
	}
	s.expect(t, "GET", "/_sim/faults", "", `200 [{"id":1,"match":"GET /x","times":0,"status":500,"left":null}]`)
	s.expect(t, "DELETE", "/_sim/faults", "", "204")
	s.expect(t, "GET", "/x", "", "202 performed")
}

func TestDropCutsBeforeOrAfterPerforming(t *testing.T) {
	t.Parallel()
	s := serve(t, fault.Config{})
	s.expect(t, "POST", "/_sim/faults", `{"match":"POST /x","drop":"before"}`, `201 {"id":1}`)
	s.expect(t, "POST", "/x", "body", "cut")
	if n := s.performed.Load(); n != 0 {
		t.Errorf("drop before performed %d requests", n)
	}
	s.expect(t, "POST", "/_sim/faults", `{"match":"POST /x","drop":"after"}`, `201 {"id":2}`)
	s.expect(t, "POST", "/x", "body", "cut")
	if n := s.performed.Load(); n != 1 {
		t.Errorf("drop after performed %d requests, want 1", n)
	}
	s.expect(t, "POST", "/x", "body", "202 performed")
}

func TestFaultsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, fault.Config{})
	for _, body := range []string{
		`{"match":"GET /x","status":503,"tiems":2}`,
		`{"match":"GET /x","status":503} {}`,
		`{"match":"GET /x"}`,
		`{"match":"GET","status":503}`,
		`{"match":"get /x","status":503}`,
		`{"match":"GET x","status":503}`,
		`{"match":"GET /x?a=b","status":503}`,
		`{"match":"GET /x","status":42}`,
		`{"match":"GET /x","status":503,"times":-1}`,
		`{"match":"GET /x","delay":"soon"}`,
		`{"match":"GET /x","delay":"-1s"}`,
		`{"match":"GET /x","drop":"maybe"}`,
		`{"match":"GET /x","drop":"after","status":500}`,
		`{"match":"GET /x","delay":"1s","body":"text"}`,
		`[]`, ``, `nonsense`,
	} {
		got, _ := s.ask(t, "POST", "/_sim/faults", body)
		if !strings.HasPrefix(got, `400 {"error":"`) {
			t.Errorf("%s is answered %s, want 400", body, got)
		}
	}
	s.expect(t, "GET", "/_sim/faults", "", "200 []")
}

func TestRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 19, 0, 0, 0, time.FixedZone("", 3600))
	s := serve(t, fault.Config{Now: func() time.Time { return at }, MaxRequests: 3})
	s.expect(t, "GET", "/forgotten", "", "202 performed")
	s.expect(t, "POST", "/_sim/faults", `{"match":"GET /b","status":500}`, `201 {"id":1}`)
	s.expect(t, "POST", "/_sim/faults", `{"match":"GET /c","drop":"before"}`, `201 {"id":2}`)
	s.expect(t, "GET", "/a?x=1", "", "202 performed")
	s.expect(t, "GET", "/b", "", "500")
	s.expect(t, "GET", "/c", "", "cut")
	got, _ := s.ask(t, "GET", "/_sim/requests", "")
	want := `200 [{"at":"2026-11-20T18:00:00Z","method":"GET","path":"/a","query":"x=1","user_agent":"test/1","status":202,"fault":null},` +
		`{"at":"2026-11-20T18:00:00Z","method":"GET","path":"/b","query":"","user_agent":"test/1","status":500,"fault":1},` +
		`{"at":"2026-11-20T18:00:00Z","method":"GET","path":"/c","query":"","user_agent":"test/1","status":null,"fault":2}]`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestDelayThenPerform(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := fault.New(fault.Config{})
		if _, err := p.Add(fault.Fault{Match: "GET /x", Delay: "2s"}); err != nil {
			t.Fatal(err)
		}
		h := p.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
		start := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
		if w.Code != http.StatusTeapot || time.Since(start) != 2*time.Second {
			t.Errorf("answered %d after %v, want 418 after 2s", w.Code, time.Since(start))
		}
	})
}

func TestDelayEndsWithItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := fault.New(fault.Config{})
		if _, err := p.Add(fault.Fault{Match: "GET /x", Delay: "1h"}); err != nil {
			t.Fatal(err)
		}
		h := p.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("performed for a client that is gone") }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) || time.Since(start) != time.Minute {
				t.Errorf("ended with %v after %v, want an aborted handler after 1m", err, time.Since(start))
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/x", nil))
	})
}

func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	p := fault.New(fault.Config{MaxRequests: 50})
	h := p.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if _, err := p.Add(fault.Fault{Match: "GET /x", Times: new(60), Status: 500}); err != nil {
		t.Fatal(err)
	}
	var struck atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 20 {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
				if w.Code == http.StatusInternalServerError {
					struck.Add(1)
				}
				_ = p.Requests()
				_ = p.Faults()
			}
		})
	}
	clients.Wait()
	if struck.Load() != 60 || len(p.Requests()) != 50 {
		t.Errorf("struck %d times and remembered %d, want 60 and 50", struck.Load(), len(p.Requests()))
	}
}

func TestOwnServerEndpointsAreNeitherStruckNorRecorded(t *testing.T) {
	t.Parallel()
	s := serve(t, fault.Config{})
	s.expect(t, "POST", "/_sim/faults", `{"match":"* /_sim/jobs","times":0,"status":500}`, `201 {"id":1}`)
	s.expect(t, "GET", "/_sim/jobs", "", "202 performed")
	text, _ := s.ask(t, "GET", "/_sim/requests", "")
	var list []fault.Request
	if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "200 ")), &list); err != nil || list == nil || len(list) != 0 {
		t.Errorf("requests = %s (%v), want an empty array", text, err)
	}
}
