// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	canary = "cc-token-canary"
	apps   = "/v2/organisations/orga_1/applications"
	owner  = fleet.Owner("abcdefgh23")

	products = `[{"type":"node","version":"1","name":"Node"},{"type":"docker","version":"20260601","name":"Docker"}]`
	flavors  = `[
		{"name":"heptapod-runner-M","mem":8192,"cpus":4,"available":true,"price_id":"heptapod-runner.M"},
		{"name":"heptapod-runner-XS","mem":2048,"cpus":1,"available":true,"price_id":"Heptapod-Runner.XS"},
		{"name":"heptapod-runner-3XL","mem":32768,"cpus":16,"available":false},
		{"name":"M","mem":4096,"cpus":4,"available":true}]`
	prices = `{"runtime":[{"slug_id":"heptapod-runner.m","time_unit":"PT1H","price":0.5556},
		{"slug_id":"heptapod-runner.xs","time_unit":"PT1H","price":0.1111}]}`
	created = `{"id":"app_1","name":"hpd-job-abcdefgh23-1","zone":"par","state":"SHOULD_BE_DOWN","commitId":null,
		"creationDate":1795000000000,"instance":{"maxFlavor":{"name":"heptapod-runner-M"}},
		"deployment":{"repoState":"CREATED","httpUrl":"https://push.test/app_1.git"},
		"env":[{"name":"CC_MOUNT_DOCKER_SOCKET","value":"true"},{"name":"CC_RUN_COMMAND","value":"true"}]}`
	staleVersion = `{"id":9017,"message":"The specified instance does not exist","type":"error"}`
	noSuchApp    = `{"id":4004,"message":"The application does not exist","type":"error"}`
)

var (
	tenant = cloud.Tenant{ID: "orga_1", Token: secret.New(canary)}
	spec   = cloud.Spec{Key: "hpd-job-abcdefgh23-1", Tenant: tenant, Flavor: "M"}
	ref    = cloud.Ref{Key: spec.Key, Tenant: tenant, Handle: []byte(`{"app_id":"app_1","org":"orga_1"}`)}
)

// reply is what the platform answers to one call. The zero status is 200.
type reply struct {
	status int
	body   string
	header http.Header
	err    error // instead of an answer
	hang   bool  // no answer until the caller gives up
}

// platform answers from a script. It is an http.RoundTripper, so there is no
// network in between.
type platform struct {
	mu      sync.Mutex
	replies map[string][]reply // by "METHOD /path"; the last one stays
	calls   []string
	at      []time.Time
	bodies  map[string]string // the last of each
	auth    map[string]string
}

func script(more map[string][]reply) *platform {
	p := &platform{bodies: map[string]string{}, auth: map[string]string{}, replies: map[string][]reply{
		"GET /v2/products/instances":         {{body: products}},
		"GET /v2/products/flavors":           {{body: flavors}},
		"GET /v4/billing/price-system":       {{body: prices}},
		"POST " + apps:                       {{body: created}},
		"GET " + apps:                        {{body: "[" + created + "]"}},
		"GET " + apps + "/app_1":             {{body: created}},
		"GET " + apps + "/app_1/deployments": {{body: "[]"}},
		"PUT " + apps + "/app_1/env":         {{body: created}},
		"DELETE " + apps + "/app_1":          {{body: `{"id":302,"message":"deleted","type":"success"}`}},
	}}
	maps.Copy(p.replies, more)
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *platform) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Method + " " + r.URL.EscapedPath()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body) // our own client's body is in memory
	}
	p.mu.Lock()
	p.calls, p.at = append(p.calls, call), append(p.at, time.Now())
	p.bodies[call], p.auth[call] = string(body), r.Header.Get("Authorization")
	replies := p.replies[call]
	if len(replies) > 1 {
		p.replies[call] = replies[1:]
	}
	p.mu.Unlock()
	if len(replies) == 0 {
		return nil, errors.New("not in the script: " + call)
	}
	a := replies[0]
	if a.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.err != nil {
		return nil, a.err
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	return &http.Response{
		StatusCode: max(a.status, 200), Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r,
	}, nil
}

// count tells how often a call was made.
func (p *platform) count(call string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(p.calls), func(c string) bool { return c != call }))
}

func on(t *testing.T, p http.RoundTripper, cfg clever.Config) *clever.Provisioner {
	t.Helper()
	cfg.APIURL = "https://api.test/v2"
	made, err := clever.New(cfg, clever.Deps{Transport: p})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// classed checks an error's class, and that it shows no secret.
func classed(t *testing.T, what string, err error, want fleet.Class) {
	t.Helper()
	if err == nil || fleet.ClassOf(err) != want {
		t.Errorf("%s: %v of class %s, want %s", what, err, fleet.ClassOf(err), want)
		return
	}
	if text := err.Error() + fleet.UserTextOf(err); strings.Contains(text, canary) {
		t.Errorf("%s: the credential is shown: %s", what, text)
	}
}
