// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/fleet"
)

// Alive is the answer to every doubt: nobody destroys what is alive.
func TestLifeOfAnApplication(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		state, commit, deployments string
		list, inspect              cloud.Life
	}{
		{"SHOULD_BE_DOWN", "", "", cloud.LifeCreated, cloud.LifeCreated},
		{"SHOULD_BE_UP", "", "", cloud.LifeAlive, cloud.LifeCreated},
		{"", "", "", cloud.LifeCreated, cloud.LifeCreated},
		{"SHOULD_BE_DOWN", "", "WIP", cloud.LifeCreated, cloud.LifeAlive},
		{"WANTS_TO_BE_UP", "abc", "WIP", cloud.LifeAlive, cloud.LifeAlive},
		{"SHOULD_BE_DOWN", "abc", "", cloud.LifeEnded, cloud.LifeAlive},
		{"SHOULD_BE_DOWN", "abc", "WIP", cloud.LifeEnded, cloud.LifeAlive},
		{"SHOULD_BE_UP", "abc", "TASK_RUNNING", cloud.LifeAlive, cloud.LifeAlive},
		{"SHOULD_BE_UP", "abc", "OK", cloud.LifeAlive, cloud.LifeAlive},
		{"SHOULD_BE_UP", "abc", "NEW_WORD", cloud.LifeAlive, cloud.LifeAlive},
		{"NEW_WORD", "abc", "OK", cloud.LifeAlive, cloud.LifeAlive},
		{"", "abc", "OK", cloud.LifeAlive, cloud.LifeAlive},
		{"SHOULD_BE_DOWN", "abc", "OK", cloud.LifeEnded, cloud.LifeEnded},
		{"SHOULD_BE_DOWN", "abc", "FAIL", cloud.LifeEnded, cloud.LifeEnded},
		{"WANTS_TO_BE_UP", "abc", "FAIL", cloud.LifeAlive, cloud.LifeEnded},
		{"SHOULD_BE_DOWN", "abc", "CANCELLED", cloud.LifeEnded, cloud.LifeEnded},
	} {
		app := strings.Replace(created, "SHOULD_BE_DOWN", c.state, 1)
		if c.commit != "" {
			app = strings.Replace(app, `"commitId":null`, fmt.Sprintf(`"commitId":%q`, c.commit), 1)
		}
		deployments := "[]"
		if c.deployments != "" {
			deployments = fmt.Sprintf(`[{"state":%q,"action":"DEPLOY"},{"state":"OK"}]`, c.deployments)
		}
		p := on(t, script(map[string][]reply{
			"GET " + apps: {{body: "[" + app + "]"}}, "GET " + apps + "/app_1": {{body: app}},
			"GET " + apps + "/app_1/deployments": {{body: deployments}},
		}), clever.Config{})
		listed, err := p.List(t.Context(), tenant, owner)
		if err != nil || len(listed) != 1 || listed[0].Life != c.list {
			t.Errorf("%+v: list gives %+v, %v", c, listed, err)
		}
		seen, err := p.Inspect(t.Context(), ref)
		if err != nil || seen.Life != c.inspect {
			t.Errorf("%+v: inspect gives %+v, %v", c, seen, err)
		}
	}
}

// An answer that is not surely the whole list must not prove absence.
func TestListsThatProveNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer reply
		want   fleet.Class
	}{
		"null":                {reply{body: "null"}, fleet.Unknown},
		"object":              {reply{body: "{}"}, fleet.Unknown},
		"page":                {reply{body: "<html>"}, fleet.Unknown},
		"empty body":          {reply{}, fleet.Unknown},
		"half a list":         {reply{body: "[" + created + ","}, fleet.Unknown},
		"without names":       {reply{body: `[{"id":"app_9"}]`}, fleet.Unknown},
		"null element":        {reply{body: `[null]`}, fleet.Unknown},
		"404 of a proxy":      {reply{status: 404, body: "<html>"}, fleet.Unknown},
		"403 of a proxy":      {reply{status: 403}, fleet.Unknown},
		"204":                 {reply{status: 204}, fleet.Unknown},
		"503":                 {reply{status: 503}, fleet.Transient},
		"429":                 {reply{status: 429}, fleet.Transient},
		"401 of the platform": {reply{status: 401, body: `{"id":2001,"message":"Not connected","type":"error"}`}, fleet.Permanent},
	} {
		p := on(t, script(map[string][]reply{"GET " + apps: {c.answer}}), clever.Config{})
		_, err := p.List(t.Context(), tenant, owner)
		classed(t, "list: "+name, err, c.want)
		byKey := cloud.Ref{Key: spec.Key, Tenant: tenant}
		_, err = p.Inspect(t.Context(), byKey)
		classed(t, "inspect by key: "+name, err, c.want)
		if errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("inspect by key: %s: taken for absence", name)
		}
		classed(t, "destroy by key: "+name, p.Destroy(t.Context(), byKey), c.want)
	}
}

// Only the platform's own word is absence; a proxy's 404 is not.
func TestOnlyThePlatformSaysNotFound(t *testing.T) {
	t.Parallel()
	for body, absent := range map[string]bool{
		noSuchApp: true, "": false, "{}": false, "<html>404</html>": false,
		`{"id":4001,"message":"No such organisation","type":"error"}`: false,
	} {
		platform := script(map[string][]reply{"GET " + apps + "/app_1": {{status: 404, body: body}}})
		p := on(t, platform, clever.Config{})
		_, err := p.Inspect(t.Context(), ref)
		if errors.Is(err, fleet.ErrNotFound) != absent || err == nil {
			t.Errorf("inspect with %q: %v", body, err)
		}
		if err := p.Destroy(t.Context(), ref); (err == nil) != absent {
			t.Errorf("destroy with %q: %v", body, err)
		}
		if platform.count("DELETE "+apps+"/app_1") != 0 {
			t.Errorf("deleted after %q", body)
		}
	}
}

func TestInspectByKeyPrefersTheStartedTwin(t *testing.T) {
	t.Parallel()
	older := strings.NewReplacer("app_1", "app_0", "1795000000000", "1794000000000").Replace(created)
	p := script(map[string][]reply{
		"GET " + apps:                        {{body: "[" + created + "," + older + "]"}},
		"GET " + apps + "/app_0/deployments": {{body: "[]"}},
		"GET " + apps + "/app_1/deployments": {{body: "[]"}, {body: `[{"state":"WIP"}]`}},
	})
	prov := on(t, p, clever.Config{})
	for _, want := range []string{"app_0", "app_1"} {
		s, err := prov.Inspect(t.Context(), cloud.Ref{Key: spec.Key, Tenant: tenant})
		if err != nil || !strings.Contains(string(s.Handle), want) {
			t.Errorf("got %s, %v; want %s", s.Handle, err, want)
		}
	}
}

func TestDestroyReadsTheNameAgain(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]string{
		"longer": strings.Replace(created, "-1\"", "-12\"", 1), "upper case": strings.Replace(created, "hpd", "HPD", 1),
		"padded": strings.Replace(created, "-1\"", "-1 \"", 1),
	} {
		platform := script(map[string][]reply{"GET " + apps + "/app_1": {{body: other}}})
		err := on(t, platform, clever.Config{}).Destroy(t.Context(), ref)
		classed(t, name, err, fleet.Permanent)
		if !errors.Is(err, fleet.ErrNotOurs) || platform.count("DELETE "+apps+"/app_1") != 0 {
			t.Errorf("%s: %v after %q", name, err, platform.calls)
		}
	}
	for name, other := range map[string]string{"another id": strings.Replace(created, "app_1", "app_2", 1), "page": "<html>"} {
		platform := script(map[string][]reply{"GET " + apps + "/app_1": {{body: other}}})
		classed(t, name, on(t, platform, clever.Config{}).Destroy(t.Context(), ref), fleet.Unknown)
		if platform.count("DELETE "+apps+"/app_1") != 0 {
			t.Errorf("%s: deleted", name)
		}
	}
}

func TestHandlesOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	platform := script(nil)
	p := on(t, platform, clever.Config{})
	for _, handle := range []string{"{", "[]", "{}", `{"org":"orga_1"}`, `{"app_id":1,"org":"x"}`} {
		bad := cloud.Ref{Key: spec.Key, Tenant: tenant, Handle: []byte(handle)}
		_, inspect := p.Inspect(t.Context(), bad)
		_, recovered := p.Recover(t.Context(), bad)
		for what, err := range map[string]error{
			"inspect": inspect, "recover": recovered, "start": p.Start(t.Context(), bad, nil), "destroy": p.Destroy(t.Context(), bad),
		} {
			if err == nil || errors.Is(err, fleet.ErrNotFound) {
				t.Errorf("%s of %s: %v", what, handle, err)
			}
		}
	}
	if len(platform.calls) != 0 {
		t.Errorf("calls: %q", platform.calls)
	}
}

// An application that another program made is acted upon in the organisation of the tenant
// who acts, when its own is not known, and by its name as ever.
func TestHandleWithoutOrganisation(t *testing.T) {
	t.Parallel()
	platform := script(map[string][]reply{"GET " + apps + "/app_1": {{body: created}}})
	p := on(t, platform, clever.Config{})
	seen, err := p.Inspect(t.Context(), cloud.Ref{Key: spec.Key, Tenant: tenant, Handle: clever.Handle("app_1", "")})
	if err != nil || seen.Key != spec.Key || string(seen.Handle) != string(clever.Handle("app_1", tenant.ID)) {
		t.Errorf("%+v, %v", seen, err)
	}
	err = p.Destroy(t.Context(), cloud.Ref{Key: "hpd-job-D3adNQYu-1", Tenant: tenant, Handle: clever.Handle("app_1", "")})
	if !errors.Is(err, fleet.ErrNotOurs) || platform.count("DELETE "+apps+"/app_1") != 0 {
		t.Errorf("another name: %v after %q", err, platform.calls)
	}
}

func TestFlavors(t *testing.T) {
	t.Parallel()
	got, err := on(t, script(nil), clever.Config{}).Flavors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []fleet.Flavor{
		{Name: "XS", APIName: "heptapod-runner-XS", MemMiB: 2048, CPUs: 1, Weight: 2378, PricePerHour: 0.1111, BillingStep: 10},
		{Name: "M", APIName: "heptapod-runner-M", MemMiB: 8192, CPUs: 4, Weight: 13454, PricePerHour: 0.5556, BillingStep: 10},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = on(t, script(nil), clever.Config{}).Create(t.Context(), cloud.Spec{Key: spec.Key, Tenant: tenant, Flavor: "3XL"})
	classed(t, "unavailable flavor", err, fleet.Permanent)
	if text := fleet.UserTextOf(err); text != `flavor "3XL" is not available; choose one of XS, M` {
		t.Errorf("the user reads %q", text)
	}
}

func TestCatalogueIsCachedAndSurvivesOutages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := reply{status: 503}
		p := script(map[string][]reply{
			"GET /v2/products/flavors":     {{body: flavors}, down, {body: flavors}},
			"GET /v4/billing/price-system": {down, {body: prices}},
		})
		prov := on(t, p, clever.Config{})
		price := func() float64 {
			t.Helper()
			got, err := prov.Flavors(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got[0].PricePerHour
		}
		if price() != 0 || price() != 0 || p.count("GET /v2/products/flavors") != 1 { //nolint:staticcheck // two calls, the second from the cache
			t.Errorf("without prices, cached: %q", p.calls)
		}
		time.Sleep(5 * time.Minute) // prices are wanted again, but flavors are down
		if price() != 0 || p.count("GET /v2/products/flavors") != 2 {
			t.Errorf("an outage: %q", p.calls)
		}
		if price(); p.count("GET /v2/products/flavors") != 2 {
			t.Errorf("asked again at once in an outage: %q", p.calls)
		}
		time.Sleep(30 * time.Second)
		if price() != 0.1111 {
			t.Error("prices did not come back")
		}
		time.Sleep(59 * time.Minute)
		if price(); p.count("GET /v2/products/flavors") != 3 {
			t.Errorf("asked again within the hour: %q", p.calls)
		}
		time.Sleep(time.Minute)
		if price(); p.count("GET /v2/products/flavors") != 4 {
			t.Errorf("not asked again after an hour: %q", p.calls)
		}
	})
}

func TestStartInsistsOnEncryption(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://push.test/app_1.git", "git+ssh://push.test/a", "https://", "https://u:p@push.test/a", "%"} {
		platform := script(map[string][]reply{
			"GET " + apps + "/app_1": {{body: strings.Replace(created, "https://push.test/app_1.git", url, 1)}},
		})
		err := on(t, platform, clever.Config{}).Start(t.Context(), ref, []fleet.File{{Path: "a"}})
		classed(t, url, err, fleet.Permanent)
		if len(platform.calls) != 1 {
			t.Errorf("%s: calls %q", url, platform.calls)
		}
	}
}
