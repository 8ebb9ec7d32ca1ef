// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

func TestCreateAsksForOneTaskUnderTheKey(t *testing.T) {
	t.Parallel()
	more := `"env":[{"name":"CC_ENABLE_HEPTAPOD_RUNNER","value":"true"},`
	p := script(map[string][]reply{"POST " + apps: {{body: strings.Replace(created, `"env":[`, more, 1)}}})
	s, err := on(t, p, clever.Config{ExtraEnv: map[string]string{"CC_ENABLE_HEPTAPOD_RUNNER": "true"}}).Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	want := cloud.Sighting{
		Key: spec.Key, Handle: []byte(`{"app_id":"app_1","org":"orga_1"}`), Life: cloud.LifeCreated,
		Flavor: "M", Zone: "par", CreatedAt: time.UnixMilli(1795000000000).UTC(),
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("sighting (-want +got):\n%s", diff)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(p.bodies["POST "+apps]), &got); err != nil {
		t.Fatal(err)
	}
	body := map[string]any{
		"name": spec.Key, "description": spec.Key, "zone": "par", "deploy": "git", "instanceType": "docker",
		"instanceVersion": "20260601", "instanceVariant": "70d676a0-a775-4dc9-a43d-3121036e8515",
		"instanceLifetime": "TASK", "minInstances": 1.0, "maxInstances": 1.0,
		"minFlavor": "heptapod-runner-M", "maxFlavor": "heptapod-runner-M",
		"env": map[string]any{"CC_MOUNT_DOCKER_SOCKET": "true", "CC_RUN_COMMAND": "true", "CC_ENABLE_HEPTAPOD_RUNNER": "true"},
	}
	if diff := cmp.Diff(body, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if p.auth["POST "+apps] != "token "+canary || p.auth["GET /v2/products/instances"] != "" {
		t.Errorf("authorization: %q", p.auth)
	}
	if len(p.calls) != 4 {
		t.Errorf("calls: %q", p.calls)
	}
}

func TestAuthenticatorAndExtraEnvCanBeChosen(t *testing.T) {
	t.Parallel()
	p := script(nil)
	prov, err := clever.New(clever.Config{
		APIURL: "https://api.test/v2/", Zone: "rbx", ExtraEnv: map[string]string{"CC_RUN_COMMAND": "x", "CC_MOUNT_DOCKER_SOCKET": "false"},
	}, clever.Deps{Transport: p, Auth: clever.Scheme("Bearer")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prov.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if p.auth["POST "+apps] != "Bearer "+canary {
		t.Errorf("authorization: %q", p.auth["POST "+apps])
	}
	for _, want := range []string{`"CC_RUN_COMMAND":"x"`, `"CC_MOUNT_DOCKER_SOCKET":"false"`, `"zone":"rbx"`} {
		if !strings.Contains(p.bodies["POST "+apps], want) {
			t.Errorf("%s is not in %s", want, p.bodies["POST "+apps])
		}
	}
}

// The table of the contract: may an application exist now?
func TestCreateErrorClasses(t *testing.T) {
	t.Parallel()
	own := `{"id":4002,"message":"No credit\nleft for ` + canary + ` <b>now</b>","type":"error"}`
	for name, c := range map[string]struct {
		answer reply
		want   fleet.Class
		text   string // for the user
	}{
		"400 of the platform":     {reply{status: 400, body: own}, fleet.Permanent, "Clever Cloud says: No credit left for [redacted] now"},
		"402 of the platform":     {reply{status: 402, body: own}, fleet.Permanent, "Clever Cloud says: No credit left for [redacted] now"},
		"400 of a proxy":          {reply{status: 400, body: "<html>Bad Request</html>"}, fleet.Unknown, ""},
		"403 of a proxy":          {reply{status: 403, body: ""}, fleet.Unknown, ""},
		"404 without keys":        {reply{status: 404, body: "{}"}, fleet.Unknown, ""},
		"400 with a JSON list":    {reply{status: 400, body: "[]"}, fleet.Unknown, ""},
		"400 with a message only": {reply{status: 400, body: `{"message":"x"}`}, fleet.Unknown, ""},
		"408":                     {reply{status: 408, body: own}, fleet.Unknown, "Clever Cloud says: No credit left for [redacted] now"},
		"429":                     {reply{status: 429, body: "slow down"}, fleet.Transient, ""},
		"500 of the platform":     {reply{status: 500, body: own}, fleet.Unknown, "Clever Cloud says: No credit left for [redacted] now"},
		"503 with a page":         {reply{status: 503, body: "<html>"}, fleet.Unknown, ""},
		"502":                     {reply{status: 502}, fleet.Unknown, ""},
		"redirect":                {reply{status: 302, header: http.Header{"Location": {"https://evil.test/"}}}, fleet.Unknown, ""},
		"200 with a page":         {reply{body: "<html>welcome</html>"}, fleet.Unknown, ""},
		"200 without keys":        {reply{body: "{}"}, fleet.Unknown, ""},
		"200 with null":           {reply{body: "null"}, fleet.Unknown, ""},
		"200 of another name":     {reply{body: strings.Replace(created, "-1\"", "-2\"", 1)}, fleet.Unknown, ""},
		"huge body":               {reply{body: strings.Repeat(" ", 5<<20) + created}, fleet.Unknown, ""},
		"connection refused":      {reply{err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, fleet.Transient, ""},
		"no such host":            {reply{err: &net.OpError{Op: "dial", Err: &net.DNSError{Name: "x", IsNotFound: true}}}, fleet.Transient, ""},
		"reset":                   {reply{err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, fleet.Unknown, ""},
		"cut":                     {reply{err: io.EOF}, fleet.Unknown, ""},
		"strange":                 {reply{err: errors.New("something")}, fleet.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := script(map[string][]reply{"POST " + apps: {c.answer}})
			_, err := on(t, p, clever.Config{}).Create(t.Context(), spec)
			classed(t, name, err, c.want)
			if got := fleet.UserTextOf(err); got != c.text {
				t.Errorf("the user reads %q, want %q", got, c.text)
			}
			if n := p.count("POST " + apps); n != 1 {
				t.Errorf("%d creates: want 1", n)
			}
		})
	}
}

// The credential goes to the configured host only.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 307, 308} {
		away := reply{status: status, header: http.Header{"Location": {"https://api.test/elsewhere"}}}
		p := script(map[string][]reply{"POST " + apps: {away}, "GET " + apps: {away}})
		prov := on(t, p, clever.Config{})
		_, err := prov.Create(t.Context(), spec)
		classed(t, "create", err, fleet.Unknown)
		_, err = prov.List(t.Context(), tenant, owner)
		classed(t, "list", err, fleet.Unknown)
		if p.count("GET /elsewhere")+p.count("POST /elsewhere") != 0 {
			t.Errorf("%d: followed: %q", status, p.calls)
		}
	}
}

func TestRetryAfterIsHandedOn(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"7": 7 * time.Second, "-1": 0, "soon": 0, "": 0, "999999999": time.Hour} {
		p := script(map[string][]reply{"POST " + apps: {{status: 429, header: http.Header{"Retry-After": {value}}}}})
		_, err := on(t, p, clever.Config{}).Create(t.Context(), spec)
		if got := fleet.RetryAfterOf(err); got != want {
			t.Errorf("Retry-After %q: %s, want %s", value, got, want)
		}
	}
}

func TestStaleVersionIsRefreshedAndCreateRepeatedOnce(t *testing.T) {
	t.Parallel()
	stale := reply{status: 400, body: staleVersion}
	fresh := []reply{{body: products}, {body: strings.Replace(products, "20260601", "20270101", 1)}}

	p := script(map[string][]reply{"POST " + apps: {stale, {body: created}}, "GET /v2/products/instances": fresh})
	prov := on(t, p, clever.Config{})
	if _, err := prov.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.bodies["POST "+apps], "20270101") || p.count("POST "+apps) != 2 {
		t.Errorf("%d creates, the last with %s", p.count("POST "+apps), p.bodies["POST "+apps])
	}

	p = script(map[string][]reply{"POST " + apps: {stale}, "GET /v2/products/instances": fresh})
	_, err := on(t, p, clever.Config{}).Create(t.Context(), spec)
	classed(t, "stale twice", err, fleet.Permanent)
	if n := p.count("POST " + apps); n != 2 {
		t.Errorf("%d creates: want 2", n)
	}

	for name, bad := range map[string]reply{"503": {status: 503}, "page": {body: "<html>"}, "empty": {body: "[]"}} {
		p = script(map[string][]reply{"POST " + apps: {stale}, "GET /v2/products/instances": {{body: products}, bad}})
		_, err = on(t, p, clever.Config{}).Create(t.Context(), spec)
		classed(t, "refresh answers "+name, err, fleet.Transient)
		if n := p.count("POST " + apps); n != 1 {
			t.Errorf("refresh answers %s: %d creates, want 1", name, n)
		}
	}
}

// Nothing was asked to be made, so nothing can exist.
func TestWhatFailsBeforeCreateIsNotUnknown(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"GET /v2/products/flavors", "GET /v2/products/instances"} {
		for name, bad := range map[string]reply{"503": {status: 503}, "page": {body: "<html>"}, "cut": {err: io.EOF}, "404": {status: 404}} {
			p := script(map[string][]reply{call: {bad}})
			_, err := on(t, p, clever.Config{}).Create(t.Context(), spec)
			classed(t, call+" "+name, err, fleet.Transient)
			if p.count("POST "+apps) != 0 {
				t.Errorf("%s %s: created", call, name)
			}
		}
	}
}

func TestWaitForTheRepository(t *testing.T) {
	t.Parallel()
	making := strings.Replace(created, `"CREATED"`, `"CREATING"`, 1)
	synctest.Test(t, func(t *testing.T) {
		p := script(map[string][]reply{
			"POST " + apps:           {{body: making}},
			"GET " + apps + "/app_1": {{body: making}, {status: 503}, {status: 404, body: noSuchApp}, {body: "<html>"}, {body: making}, {body: making}, {body: making}, {body: created}},
		})
		begun := time.Now()
		s, err := on(t, p, clever.Config{}).Create(t.Context(), spec)
		if err != nil || s.Key != spec.Key {
			t.Fatalf("%+v, %v", s, err)
		}
		var waits []time.Duration
		for i, call := range p.calls {
			if call == "GET "+apps+"/app_1" {
				waits = append(waits, p.at[i].Sub(begun))
			}
		}
		ms := time.Millisecond
		want := []time.Duration{50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 3150 * ms, 5150 * ms, 7150 * ms}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Errorf("looked at (-want +got):\n%s", diff)
		}
	})
}

// The application exists, so the manager must look for it.
func TestRepositoryThatNeverComes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		look reply
		took time.Duration
	}{
		"still being made": {reply{body: strings.Replace(created, `"CREATED"`, `"CREATING"`, 1)}, 20 * time.Second},
		"no URL":           {reply{body: strings.Replace(created, `"https://push.test/app_1.git"`, `null`, 1)}, 20 * time.Second},
		"unreadable":       {reply{body: "<html>"}, 20 * time.Second},
		"hanging":          {reply{hang: true}, 20 * time.Second},
		"gone":             {reply{status: 404, body: noSuchApp}, 20 * time.Second},
		"deleted":          {reply{body: strings.Replace(created, `"CREATED"`, `"DELETED"`, 1)}, 50 * time.Millisecond},
		"somebody else's":  {reply{body: strings.Replace(created, "hpd-job", "web-app", 1)}, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := script(map[string][]reply{
					"POST " + apps:           {{body: strings.Replace(created, `"CREATED"`, `"CREATING"`, 1)}},
					"GET " + apps + "/app_1": {c.look},
				})
				begun := time.Now()
				_, err := on(t, p, clever.Config{}).Create(t.Context(), spec)
				classed(t, name, err, fleet.Unknown)
				if took := time.Since(begun); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
			})
		})
	}
}

func TestEveryCallEndsByItself(t *testing.T) {
	t.Parallel()
	hang := []reply{{hang: true}}
	for name, call := range map[string]func(context.Context, *clever.Provisioner) error{
		"GET /v2/products/flavors": func(ctx context.Context, p *clever.Provisioner) error { _, err := p.Flavors(ctx); return err },
		"GET " + apps: func(ctx context.Context, p *clever.Provisioner) error {
			_, err := p.List(ctx, tenant, owner)
			return err
		},
		"GET " + apps + "/app_1":    func(ctx context.Context, p *clever.Provisioner) error { _, err := p.Inspect(ctx, ref); return err },
		"DELETE " + apps + "/app_1": func(ctx context.Context, p *clever.Provisioner) error { return p.Destroy(ctx, ref) },
		"POST " + apps:              func(ctx context.Context, p *clever.Provisioner) error { _, err := p.Create(ctx, spec); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				err := call(context.Background(), on(t, script(map[string][]reply{name: hang}), clever.Config{}))
				if err == nil || time.Since(begun) != 30*time.Second {
					t.Errorf("ended with %v after %s", err, time.Since(begun))
				}
				want := fleet.Transient
				if !strings.HasPrefix(name, "GET") {
					want = fleet.Unknown
				}
				classed(t, name, err, want)
			})
		})
	}
}

func TestHostileOrganisationStaysInItsSegment(t *testing.T) {
	t.Parallel()
	p := script(map[string][]reply{
		"POST /v2/organisations/a%2F..%2Fb%3Fx%23y/applications": {{status: 500}},
		"POST /v2/organisations/%2E%2E/applications":             {{status: 500}},
	})
	for _, org := range []string{"a/../b?x#y", ".."} {
		_, err := on(t, p, clever.Config{}).Create(t.Context(), cloud.Spec{Key: spec.Key, Flavor: "M", Tenant: cloud.Tenant{ID: org, Token: secret.New("t")}})
		if err == nil || strings.Contains(err.Error(), "not in the script") {
			t.Errorf("%q: %v", org, err)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"ftp://x", "//x", "https://", "https://user:" + canary + "@x/v2", "https://x/v2?a=b", "ht tp://" + canary} {
		_, err := clever.New(clever.Config{APIURL: bad}, clever.Deps{})
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
