// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/fleet"
)

const (
	zones   = `[{"id":"1","name":"par","tags":["for:applications","infra:clever-cloud"]},{"name":"rbx"},{"name":"data","tags":["for:addons"]},{"name":""}]`
	refused = `{"id":2001,"message":"You must be authenticated","type":"error"}`
	noRoute = `{"id":404,"message":"No such route","type":"error"}`
)

// checked is a platform where all is well, but for what is given.
func checked(more map[string][]reply) *platform {
	p := script(map[string][]reply{"GET /v4/products/zones": {{body: zones}}, "GET /v2/products/zones": {{body: zones}}})
	maps.Copy(p.replies, more)
	return p
}

func TestCheckMakesNothing(t *testing.T) {
	t.Parallel()
	p := checked(nil)
	if err := on(t, p, clever.Config{}).Check(t.Context(), tenant); err != nil {
		t.Error(err)
	}
	for _, call := range p.calls {
		if !strings.HasPrefix(call, "GET ") {
			t.Errorf("called %s", call)
		}
	}
	for _, call := range []string{"GET " + apps, "GET /v4/products/zones", "GET /v2/products/flavors", "GET /v2/products/instances"} {
		if !slices.Contains(p.calls, call) {
			t.Errorf("did not call %s", call)
		}
	}
}

// problems are the parts of a joined error.
func problems(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // this very error, not one in it
		return all.Unwrap()
	}
	return []error{err}
}

// Everything that is wrong is said, each problem once.
func TestCheckSaysEverything(t *testing.T) {
	t.Parallel()
	gone := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, c := range map[string]struct {
		cfg    clever.Config
		script map[string][]reply
		want   []string
	}{
		"all of it": {
			clever.Config{Zone: "moon", DefaultFlavor: "7XL"},
			map[string][]reply{"GET " + apps: {{status: 401, body: refused}}, "GET /v4/products/zones": {{status: 401, body: refused}}, "GET /v2/products/instances": {{body: "[]"}}},
			[]string{
				"list applications of orga_1: GET /organisations/orga_1/applications: credential refused: answered 401, error 2001: You must be authenticated",
				`cc_default_flavor: flavor "7XL" is not available; choose one of XS, M`, "list instance types: GET /products/instances: no entry for Docker",
				`cc_zone: "moon" is not available; choose one of par, rbx`,
			},
		},
		"a zone for other things": {clever.Config{Zone: "data"}, nil, []string{`cc_zone: "data" is not available; choose one of par, rbx`}},
		"an old API":              {clever.Config{Zone: "moon"}, map[string][]reply{"GET /v4/products/zones": {{status: 404, body: noRoute}}}, []string{`cc_zone: "moon" is not`}},
		"zones in a page":         {clever.Config{}, map[string][]reply{"GET /v4/products/zones": {{body: "<html>"}}}, []string{"list zones"}},
		"no zones":                {clever.Config{}, map[string][]reply{"GET /v4/products/zones": {{body: "null"}}}, []string{"list zones: the answer names none"}},
		"another's organisation":  {clever.Config{}, map[string][]reply{"GET " + apps: {{status: 403, body: refused}}}, []string{"credential refused: answered 403"}},
		"nobody there":            {clever.Config{Zone: "moon"}, map[string][]reply{"GET " + apps: {{err: gone}}}, []string{"connection refused"}},
	} {
		err := on(t, checked(c.script), c.cfg).Check(t.Context(), tenant)
		if err == nil {
			t.Errorf("%s: nothing is wrong", name)
			continue
		}
		got := problems(err)
		if len(got) != len(c.want) {
			t.Errorf("%s: %d problems, want %d: %v", name, len(got), len(c.want), err)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i].Error(), want) {
				t.Errorf("%s: %v, want %s", name, got[i], want)
			}
		}
	}
}

// Without a tenant the settings alone are looked at, with no credential.
func TestCheckWithoutTenant(t *testing.T) {
	t.Parallel()
	p := checked(nil)
	err := on(t, p, clever.Config{Zone: "moon"}).Check(t.Context(), cloud.Tenant{})
	if err == nil || !strings.Contains(err.Error(), `cc_zone: "moon"`) {
		t.Error(err)
	}
	for call, auth := range p.auth {
		if auth != "" || strings.Contains(call, "organisations") {
			t.Errorf("%s with %q", call, auth)
		}
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	const call = "GET /v2/self/tokens/current"
	at := time.Date(2026, 11, 18, 10, 0, 0, 0, time.UTC)
	for body, want := range map[string]time.Time{
		`{"expirationDate":1794996000000}`:                  at,
		`{"expirationDate":1794996000000.0}`:                at,
		`{"expirationDate":"1794996000000"}`:                at,
		`{"expirationDate":1794996000}`:                     at, // seconds
		`{"expirationDate":"2026-11-18T10:00:00Z"}`:         at,
		`{"expirationDate":"2026-11-18T11:00:00+01:00"}`:    at,
		`{"expirationDate":"2026-11-18T10:00:00.000+0000"}`: at,
		`{"expirationDate":"2026-11-18"}`:                   at.Truncate(24 * time.Hour),
		`{"expirationDate":null}`:                           {},
		`{"expirationDate":""}`:                             {},
		`{"expirationDate":"never"}`:                        {},
		`{"expirationDate":-5}`:                             {},
		`{"expirationDate":1e300}`:                          {},
		`{"expirationDate":"NaN"}`:                          {},
		`{"expirationDate":{"date":1}}`:                     {},
		`{"token":"x"}`:                                     {},
		`{}`:                                                {},
	} {
		got, said, err := on(t, script(map[string][]reply{call: {{body: body}}}), clever.Config{}).Expiry(t.Context(), tenant)
		if err != nil || !got.Equal(want) || said == want.IsZero() {
			t.Errorf("%s: %s, %t, %v; want %s", body, got, said, err, want)
		}
	}
	for name, c := range map[string]struct {
		answer reply
		fails  bool
	}{
		"no such call":     {reply{status: 404, body: noRoute}, false},
		"405 of a proxy":   {reply{status: 405}, false},
		"no user":          {reply{status: 401, body: refused}, false},
		"a 401 of a proxy": {reply{status: 401, body: "<html>"}, true},
		"busy":             {reply{status: 503}, true},
		"a page":           {reply{body: "<html>"}, true},
		"a list":           {reply{body: "[]"}, true},
		"cut":              {reply{err: io.EOF}, true},
	} {
		_, said, err := on(t, script(map[string][]reply{call: {c.answer}}), clever.Config{}).Expiry(t.Context(), tenant)
		if said || (err != nil) != c.fails {
			t.Errorf("%s: %t, %v", name, said, err)
		}
	}
}

// What a provisioner can do beyond the contract is found behind its decorators.
func TestCapabilitiesBehindDecorators(t *testing.T) {
	t.Parallel()
	p := on(t, script(nil), clever.Config{})
	retry := cloud.NewRetry(p, func() float64 { return 0 }, cloud.RetryConfig{})
	if e, ok := cloud.As[cloud.Expirer](retry); !ok || e != cloud.Expirer(p) {
		t.Error("no Expirer is found")
	}
	if _, ok := cloud.As[cloud.Checker](retry); !ok {
		t.Error("no Checker is found")
	}
	if _, ok := cloud.As[interface{ Fly() }](retry); ok {
		t.Error("it flies")
	}
	if _, ok := cloud.As[cloud.Checker](nil); ok {
		t.Error("nothing checks")
	}
}

// Refusals in all shapes: what the platform says itself is permanent, with its words; what
// something on the way says is unknown.
func TestShapesOfRefusals(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"id":4002,"message":"No credit","type":"error"}`:                                       "answered 400, error 4002: No credit",
		`{"id":"4002","message":"No credit"}`:                                                    "answered 400, error 4002: No credit",
		`{"message":"No credit","type":"error"}`:                                                 "answered 400: No credit",
		`{"code":"clever.core.bad","error":"No credit"}`:                                         "answered 400: No credit",
		`{"code":4,"error":"No credit","context":{"OVDErrorFieldContext":{"fieldValue":"x"}}}`:   "answered 400: No credit",
		`{"id":4002,"message":"No credit","type":7,"fields":["a"]}`:                              "answered 400, error 4002: No credit",
		`{"id":4002,"message":"No credit","fields":{"a":{"b":1}}}`:                               "answered 400, error 4002: No credit",
		`{"id":4002,"message":{"en":"No credit"},"error":"No credit"}`:                           "answered 400, error 4002: No credit",
		`{"id":-500,"message":"<html><head><title>t</title></head><p>No\r\n credit</p></html>"}`: "answered 400, error -500: No credit",
		`{"id":4002,"message":""}`:                                                               "",
		`{"id":4002,"message":["No"]}`:                                                           "",
		`{"message":"No credit"}`:                                                                "",
		`{"error":"No credit"}`:                                                                  "",
		`null`:                                                                                   "",
		`"No credit"`:                                                                            "",
		`[{"id":1,"message":"No credit"}]`:                                                       "",
		`{"id":4002,"message":"No credit"`:                                                       "",
		`<html>{"id":1,"message":"x"}`:                                                           "",
		``:                                                                                       "",
	} {
		p := script(map[string][]reply{"POST " + apps: {{status: 400, body: body}}})
		_, err := on(t, p, clever.Config{}).Create(t.Context(), spec)
		class, text := fleet.Permanent, want
		if want == "" {
			class, text = fleet.Unknown, "answered 400"
		}
		if fleet.ClassOf(err) != class || !strings.HasSuffix(err.Error(), text) {
			t.Errorf("%s: %v of class %s, want %s", body, err, fleet.ClassOf(err), text)
		}
	}
}

// In v4's shape too, a refused credential is one.
func TestRefusedCredentialInBothShapes(t *testing.T) {
	t.Parallel()
	for _, body := range []string{refused, `{"code":"unauthorized","error":"Not you"}`} {
		for _, status := range []int{401, 403} {
			p := script(map[string][]reply{"GET " + apps: {{status: status, body: body}}})
			if _, err := on(t, p, clever.Config{}).List(t.Context(), tenant, owner); !errors.Is(err, fleet.ErrUnauthorized) {
				t.Errorf("%d %s: %v", status, body, err)
			}
		}
	}
}

// Somebody who waits and asks again may get an answer; what is wrong stays wrong.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer reply
		want   bool
	}{
		"refused connection": {reply{err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, true}, "cut": {reply{err: io.EOF}, true},
		"503": {reply{status: 503}, true}, "429": {reply{status: 429}, true}, "408": {reply{status: 408}, true},
		"401": {reply{status: 401, body: refused}, false}, "404": {reply{status: 404}, false}, "page": {reply{body: "<html>"}, false}, "null": {reply{body: "null"}, false},
	} {
		p := on(t, script(map[string][]reply{"GET " + apps: {c.answer}}), clever.Config{})
		if _, err := p.List(t.Context(), tenant, owner); errors.Is(err, fleet.ErrUnreachable) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := on(t, script(nil), clever.Config{FlavorNamePrefix: "x-"})
	if _, err := p.Flavors(t.Context()); err == nil || errors.Is(err, fleet.ErrUnreachable) {
		t.Errorf("a prefix that no flavor has: %v", err)
	}
}
