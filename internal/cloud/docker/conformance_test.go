// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/cloudtest"
	"heptapod-paas-runner/internal/cloud/docker"
	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/secret"
)

var shared engine.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	shared.Stop()
	os.Exit(code)
}

// The engine is shared: each test of the suite has the keys of its own tests apart by
// running alone.
func TestConformance(t *testing.T) {
	e := newEngine(t)
	var alone sync.Mutex
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
		alone.Lock()
		t.Cleanup(alone.Unlock)
		return e.harness(t)
	})
}

// box is an engine with the image of an instance whose task is to wait.
type box struct{ *engine.Engine }

func newEngine(t *testing.T) box {
	t.Helper()
	e := box{shared.Get(t)}
	files := append(engine.Busybox(t), engine.File{Path: "/usr/bin/gitlab-runner", Data: "#!/bin/sh\nexec sleep 100000\n"})
	e.Import(t, "waits:1", files, `ENV PATH=/usr/bin:/bin`)
	return e
}

// config is that of a provisioner on the engine.
func (e box) config() docker.Config {
	return docker.Config{
		Host: "unix://" + e.Socket, Image: "waits:1", SubRunner: hostfile.ModeExecFetchedJob, PullPolicy: docker.PullNever,
		Flavors: []docker.Flavor{{Name: "L", Weight: 2000, CPUs: 1, Memory: 64 << 20}, {Name: "M", Weight: 1000}},
	}
}

func (e box) provisioner(t *testing.T, cfg docker.Config, g *gate) *docker.Provisioner {
	t.Helper()
	deps := docker.Deps{Getenv: func(string) string { return "" }}
	if g != nil {
		deps.Transport = g
	}
	p, err := docker.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (e box) harness(t *testing.T) cloudtest.Harness {
	g := newGate(e.Socket)
	e.empty(t)
	return cloudtest.Harness{
		Provisioner: e.provisioner(t, e.config(), g), Single: true, Flavor: "M",
		Tenant:     cloud.Tenant{ID: "local", Token: secret.New("nobody asks for it")},
		Foreign:    func(name string) { e.foreign(t, name) },
		Exists:     func() []string { return e.exists(t) },
		LoseAnswer: func(c cloudtest.Call) { g.arm(c, "lose") },
		Break:      func(c cloudtest.Call) { g.arm(c, "break") },
		Hang:       func(c cloudtest.Call) { g.arm(c, "hang") },
		EndTask: func(t *testing.T, name string) {
			e.Must(t, http.MethodPost, "/containers/"+name+"/kill?signal=KILL", nil, nil)
			e.Wait(t, name)
		},
	}
}

// foreign makes a container that the provisioner did not make, and that shows the name
// where the provisioner looks for it. Its own name is the engine's choice when the
// engine allows no such name.
func (e box) foreign(t *testing.T, name string) {
	t.Helper()
	own := name
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`).MatchString(name) {
		own = ""
	}
	e.Create(t, own, map[string]any{
		"Image": "waits:1", "Cmd": []string{"true"}, "Labels": map[string]string{docker.KeyLabel: name, docker.RoleLabel: "instance"},
	})
}

type listed struct {
	ID     string `json:"Id"`
	Names  []string
	Labels map[string]string
	State  string
}

func (e box) list(t *testing.T) []listed {
	t.Helper()
	var out []listed
	e.Must(t, http.MethodGet, "/containers/json?all=true", nil, &out)
	return out
}

func (e box) exists(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, c := range e.list(t) {
		out = append(out, c.Labels[docker.KeyLabel])
	}
	return out
}

// empty removes what an earlier test has left.
func (e box) empty(t *testing.T) {
	t.Helper()
	for _, c := range e.list(t) {
		e.Remove(t, c.ID)
	}
}

// gate stands between a provisioner and its engine, and lets one call go wrong.
type gate struct {
	next http.RoundTripper

	mu    sync.Mutex
	match *regexp.Regexp
	how   string
}

// newGate keeps no connection: one that is open would keep simulated time from passing.
func newGate(socket string) *gate {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &gate{next: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

func (g *gate) arm(c cloudtest.Call, how string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.how = how
	g.match = regexp.MustCompile(map[cloudtest.Call]string{
		cloudtest.Create:  `^POST .*/containers/create$`,
		cloudtest.Start:   `^POST .*/containers/[^/]+/start$`,
		cloudtest.Destroy: `^DELETE .*/containers/[^/]+$`,
	}[c])
}

func (g *gate) take(call string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.match == nil || !g.match.MatchString(call) {
		return ""
	}
	g.match = nil
	return g.how
}

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	switch g.take(r.Method + " " + r.URL.Path) {
	case "lose":
		answer, err := g.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, answer.Body) // it was performed when its answer is whole
		_ = answer.Body.Close()
		return nil, errors.New("connection reset by peer")
	case "break":
		answer := httptest.NewRecorder()
		answer.Header().Set("Content-Type", "application/json")
		answer.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.Copy(answer, strings.NewReader(`{"message":"the engine is in trouble"}`))
		made := answer.Result()
		made.Request = r
		return made, nil
	case "hang":
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return g.next.RoundTrip(r)
}

var _ cloud.Provisioner = (*docker.Provisioner)(nil)
