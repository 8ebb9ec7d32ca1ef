// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/clever/spectest"
)

// spec is what answers are held against. It is read before any bubble begins.
var spec *spectest.Spec

func TestMain(m *testing.M) {
	var err error
	if spec, err = spectest.Load(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// api speaks to a server without a network, so that it works in a bubble too.
type api struct {
	t     *testing.T
	s     *clever.Server
	token string
	loose bool // answers need not be as the platform describes them
}

func (a api) do(method, path, body string) (int, []byte) {
	a.t.Helper()
	r := httptest.NewRequestWithContext(a.t.Context(), method, "http://clever.test"+path, strings.NewReader(body))
	if a.token != "" {
		r.Header.Set("Authorization", "token "+a.token)
	}
	w := httptest.NewRecorder()
	a.s.ServeHTTP(w, r)
	raw, err := io.ReadAll(w.Result().Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if own := w.Header().Get("Sozu-Id") != ""; own && !a.loose {
		if err := spec.Check(method, r.URL.EscapedPath(), w.Code, raw); err != nil {
			a.t.Error(err)
		}
	}
	return w.Code, raw
}

// get decodes an answer that must be 200.
func (a api) get(method, path, body string, into any) {
	a.t.Helper()
	status, raw := a.do(method, path, body)
	if status != http.StatusOK {
		a.t.Fatalf("%s %s = %d %s", method, path, status, raw)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil {
		a.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
	}
}

// refused checks the platform's error shape.
func (a api) refused(method, path, body string, status, id int) {
	a.t.Helper()
	got, raw := a.do(method, path, body)
	var m struct {
		ID      int
		Type    string
		Message string
	}
	if err := json.Unmarshal(raw, &m); err != nil || got != status || m.ID != id || m.Type != "error" || m.Message == "" {
		a.t.Errorf("%s %s = %d %s, want %d with id %d", method, path, got, raw, status, id)
	}
}

type appAnswer struct {
	ID, Name, State, OwnerID, Zone string
	Deployment                     struct{ RepoState, HTTPURL string }
	Instance                       struct {
		Lifetime             string
		MinFlavor, MaxFlavor struct {
			Name      string
			Mem, Cpus int
		}
	}
	Env []struct{ Name, Value string }
}

type deployAnswer struct{ State, Commit, Action, UUID string }

const apps = "/v2/organisations/orga_sim/applications"

func newBody(name string) string {
	return `{"name":"` + name + `","zone":"par","instanceLifetime":"TASK","deploy":"git","instanceType":"docker",
		"instanceVersion":"20260601","instanceVariant":"70d676a0-a775-4dc9-a43d-3121036e8515","minInstances":1,
		"maxInstances":1,"minFlavor":"heptapod-runner-S","maxFlavor":"heptapod-runner-M","env":{"K":"V"}}`
}

// recorder is a Launcher that notes what it is given and ends when it is told.
type recorder struct {
	mu    sync.Mutex
	tasks []clever.Task
	end   func(context.Context) error
}

func (l *recorder) Launch(ctx context.Context, task clever.Task) error {
	l.mu.Lock()
	task.Files = maps.Clone(task.Files)
	l.tasks = append(l.tasks, task)
	l.mu.Unlock()
	_, _ = io.WriteString(task.Log, "hello from "+task.Name+"\n")
	return l.end(ctx)
}

func (l *recorder) seen() []clever.Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tasks
}

// pkt makes a pkt-line.
func pkt(text string) string {
	const hex = "0123456789abcdef"
	n := len(text) + 4
	return string([]byte{hex[n>>12&15], hex[n>>8&15], hex[n>>4&15], hex[n&15]}) + text
}

func reader(parts ...string) io.Reader {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString(p)
	}
	return &b
}

func newRequest(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), method, "http://clever.test"+path, strings.NewReader(body))
}

func record(s *clever.Server, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
