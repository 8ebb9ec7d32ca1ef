// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/sim/clever"
)

// Everything that the platform's clients call, once: each answer is as the platform
// describes it and holds what it should.
func TestEverythingIsAnswered(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{URL: "http://clever.test"}), token: clever.FirstToken}
	one, two := a.create("one"), a.create("two")
	pushOK(t, a.s, one.ID, given())
	var last []deployAnswer
	a.get("GET", apps+"/"+one.ID+"/deployments", "", &last)
	const org, addons = "/v2/organisations/orga_sim", "/v2/organisations/orga_sim/addons"
	at, v4 := apps+"/"+one.ID, "/v4/orchestration/organisations/orga_sim/applications/"+one.ID
	const cellar = `{"name":"cache","plan":"plan_00000000-0000-4000-8000-000000000001","providerId":"cellar-addon","region":"par","options":{}}`
	addon := answerID(a, "POST", addons, cellar)
	hook := answerID(a, "POST", "/v2/notifications/webhooks/orga_sim", `{"name":"w","urls":[{"format":"raw","url":"http://hook.test"}],"events":["GIT_PUSH"]}`)
	for _, c := range []struct {
		call, body, want string
	}{
		{"GET /v2/self", "", `"id":"user_sim"`}, {"GET /v2/self/id", "", `"user_sim"`}, {"GET /v2/self/tokens/current", "", `"expirationDate":1`},
		{"GET /v2/self/tokens", "", `"expirationDate":1`}, {"GET /v2/summary", "", `"name":"two"`}, {"GET /v2/organisations", "", `"id":"orga_sim"`},
		{"GET " + org, "", `"id":"orga_sim"`}, {"GET " + org + "/deployments", "", `"` + one.ID + `":[{"id":1,"uuid":"` + last[0].UUID},
		{"GET " + apps, "", two.ID}, {"GET " + apps + "?instanceId=node", "", "[]"},
		{"GET /v2/products/instances/docker-20260601?for=orga_sim", "", `"slug":"docker"`}, {"GET /v2/products/zones", "", `"correspondingRegion":"par"`},
		{"GET /v4/products/zones?ownerId=orga_sim&tag=for:applications", "", `"displayName":"PAR"`}, {"GET /v4/products/zones?tag=moon", "", "[]"},
		{"GET /v4/billing/organisations/orga_sim/price-system?zone_id=par", "", `"zone_id":"PAR"`},
		{"GET /v2/products/addonproviders?orgaId=orga_sim", "", `"id":"cellar-addon"`}, {"GET /v2/products/addonproviders/cellar-addon", "", `"slug":"s"`},
		{"GET " + at, "", `"httpUrl":"http://clever.test/git/` + one.ID}, {"PUT " + at, `{"minFlavor":"S","maxFlavor":"S"}`, `"name":"S"`},
		{"PUT " + at + "/branch", `{"branch":"main"}`, `"branch":"main"`}, {"GET " + at + "/branches", "", `["main"]`},
		{"PUT " + at + "/buildflavor", `{"flavorName":"L"}`, `"separateBuild":true`},
		{"PUT " + at + "/env", `{"A":"1"}`, `"env":[{"name":"A","value":"1"}]`}, {"PUT " + at + "/env/B", `{"value":""}`, `{"name":"B","value":""}`}, {"GET " + at + "/env", "", `"name":"B"`},
		{"DELETE " + at + "/env/B", "", `"env":[{"name":"A"`}, {"PUT " + at + "/env?check=true", `{"C":"1"}`, `"env":[{"name":"A"`},
		{"GET " + at + "/tags", "", "[]"}, {"PUT " + at + "/tags", `["x","y"]`, `["x","y"]`}, {"PUT " + at + "/tags/z", "", `["x","y","z"]`}, {"DELETE " + at + "/tags/x", "", `["y","z"]`},
		{"GET " + at + "/vhosts", "", `cleverapps.io/`}, {"PUT " + at + "/vhosts/www.example.test%2Fpath", "", "added"}, {"GET " + at + "/vhosts", "", `www.example.test/path`},
		{"PUT " + at + "/vhosts/favourite", `{"fqdn":"www.example.test/path"}`, "www"}, {"GET " + at + "/vhosts/favourite", "", "www"},
		{"DELETE " + at + "/vhosts/favourite", "", "removed"}, {"DELETE " + at + "/vhosts/www.example.test%2Fpath", "", "removed"},
		{"GET " + at + "/deployments/" + last[0].UUID, "", `"state":"WIP"`}, {"GET " + at + "/instances", "", `"state":"BOOTING"`},
		{"GET " + v4 + "/deployments?order=ASC&includeApplicationConfiguration=true", "", `"applicationConfiguration":{"id":"app`},
		{"GET " + v4 + "/deployments/" + last[0].UUID, "", `"state":"WORK_IN_PROGRESS"`}, {"GET " + v4 + "/instances?limit=1&order=DESC", "", `"isBuildVm":false`},
		{"POST " + at + "/instances?useCache=no", "", `"deploymentId"`}, {"POST " + at + "/instances?commit=" + last[0].Commit, "", `"deploymentId"`},
		{"DELETE " + at + "/deployments/" + last[0].UUID + "/instances", "", "cancelled"}, {"GET " + at + "/deployments?action=DEPLOY&limit=3", "", "CANCELLED"},
		{"DELETE " + at + "/instances", "", "stopped"}, {"GET " + at + "/deployments?action=UNDEPLOY", "", `"UNDEPLOY"`},
		{"GET " + at + "/instances?withDeleted=true", "", `"state":"DELETED"`},
		{"POST " + addons + "/preorders", cellar, "lines"}, {"GET " + addons, "", `"cache"`}, {"GET " + addons + "/" + addon, "", `"realId":"cellar_`},
		{"PUT " + addons + "/" + addon, `{"name":"new"}`, `"new"`}, {"GET " + addons + "/" + addon + "/env", "", "CELLAR_ADDON_KEY_SECRET"},
		{"POST " + at + "/addons", `"` + addon + `"`, "linked"}, {"GET " + at + "/addons", "", addon}, {"GET " + at + "/addons/env", "", `"provider_id":"cellar-addon"`},
		{"DELETE " + at + "/addons/" + addon, "", "unlinked"}, {"GET " + at + "/addons/env", "", "[]"},
		{"PUT " + apps + "/" + two.ID + "/exposed_env", `{"FROM_TWO":"2"}`, "changed"}, {"GET " + apps + "/" + two.ID + "/exposed_env", "", "FROM_TWO"},
		{"PUT " + at + "/dependencies/" + two.ID, "", "linked"}, {"GET " + at + "/dependencies", "", `"two"`}, {"GET " + at + "/dependencies/env", "", "FROM_TWO"},
		{"GET " + apps + "/" + two.ID + "/dependents", "", `"one"`}, {"DELETE " + at + "/dependencies/" + two.ID, "", "unlinked"}, {"GET " + at + "/dependencies/env", "", "[]"},
		{"GET /v2/notifications/info/events", "", "GIT_PUSH"}, {"GET /v2/notifications/webhooks/orga_sim", "", hook},
		{"PUT /v2/notifications/webhooks/orga_sim/" + hook, `{"name":"v","urls":[{"url":"http://hook.test"}]}`, `"name":"v"`}, {"DELETE /v2/notifications/webhooks/orga_sim/" + hook, "", "removed"},
		{"POST /v2/notifications/emailhooks/orga_sim", `{"notified":[{"target":"a@example.test"}]}`, "hook_"}, {"GET /v2/notifications/webhooks/orga_sim", "", "[]"},
		{"DELETE " + addons + "/" + addon, "", "deleted"}, {"GET " + addons, "", "[]"}, {"DELETE " + at, "", `"id":302`},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		if status, raw := a.do(method, path, c.body); status != http.StatusOK || !strings.Contains(string(raw), c.want) {
			t.Errorf("%s = %d %.400s, want %s", c.call, status, raw, c.want)
		}
	}
}

func answerID(a api, method, path, body string) string {
	a.t.Helper()
	var v struct{ ID string }
	a.get(method, path, body, &v)
	return v.ID
}

// What is asked wrongly is refused in the shape of the version that is asked.
func TestRefusals(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{}), token: clever.FirstToken}
	one := a.create("one")
	at := apps + "/" + one.ID
	for _, c := range []struct {
		call, body string
		status, id int
	}{
		{"GET /v2/nowhere", "", 404, 404}, {"GET /", "", 404, 404}, {"PATCH " + at, "", 404, 404}, {"POST /v2/self", "", 404, 404},
		{"GET /v2/products/instances/docker-1", "", 404, 9017}, {"GET /v2/products/addonproviders/x", "", 404, 4003},
		{"PUT " + at + "/branch", `{}`, 400, 400}, {"PUT " + at + "/buildflavor", `{"flavorName":"x"}`, 400, 400}, {"PUT " + at + "/env/A", `{}`, 400, 400},
		{"PUT " + at + "/vhosts/favourite", `{"fqdn":"x"}`, 400, 400}, {"GET " + at + "/vhosts/favourite", "", 404, 4021},
		{"GET " + at + "/deployments/x", "", 404, 4008}, {"POST " + at + "/instances", "", 400, 400},
		{"POST /v2/organisations/orga_sim/addons", `{"plan":"x","providerId":"cellar-addon","region":"par"}`, 400, 400},
		{"POST /v2/organisations/orga_sim/addons", `{"plan":"x","providerId":"x","region":"par"}`, 400, 400},
		{"GET /v2/organisations/orga_sim/addons/x", "", 404, 4003}, {"POST " + at + "/addons", `"x"`, 404, 4003},
		{"PUT " + at + "/dependencies/" + one.ID, "", 404, 4004}, {"POST /v2/notifications/webhooks/orga_sim", `{"name":"w"}`, 400, 400},
		{"DELETE /v2/notifications/webhooks/orga_sim/x", "", 404, 4409}, {"GET /v2/self/applications", "", 404, 4001},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		a.refused(method, path, c.body, c.status, c.id)
	}
	var wrong struct {
		ID     int
		Fields map[string]string
	}
	_, raw := a.do("PUT", at+"/env?check=true", `{"A":"1","B C":"2"}`)
	if err := json.Unmarshal(raw, &wrong); err != nil || wrong.ID != 557 || len(wrong.Fields) != 1 || wrong.Fields["B C"] == "" {
		t.Errorf("a wrong name: %s", raw)
	}
	for path, status := range map[string]int{
		"/v4/nowhere": 404, "/v4/orchestration/organisations/orga_sim/applications/app_none/instances": 404,
		"/v4/orchestration/organisations/orga_sim/applications/" + one.ID + "/instances/x":            404,
		"/v4/orchestration/organisations/orga_sim/applications/" + one.ID + "/deployments?limit=1001": 400,
		"/v4/orchestration/organisations/orga_b/applications/" + one.ID + "/deployments":              404,
	} {
		var m struct {
			Code, Error string
			Context     map[string]any
		}
		got, raw := a.do("GET", path, "")
		if err := json.Unmarshal(raw, &m); err != nil || got != status || m.Code == "" || m.Error == "" || m.Context == nil {
			t.Errorf("%s = %d %s", path, got, raw)
		}
	}
}

// A user has a space of its own, which is an owner like an organisation.
func TestPersonalSpace(t *testing.T) {
	t.Parallel()
	s := clever.New(clever.Config{})
	var v struct{ ID, OwnerID string }
	call := func(method, path, body string) (int, string) {
		r := newRequest(t, method, path, body)
		r.Header.Set("Authorization", plainHeader)
		w := record(s, r)
		_ = json.Unmarshal(w.Body.Bytes(), &v) // a list is none
		return w.Code, w.Body.String()
	}
	if status, text := call("POST", "/v2/self/applications", newBody("mine")); status != 200 || v.OwnerID != "user_sim" {
		t.Fatalf("%d %s", status, text)
	}
	for _, path := range []string{"/v2/self/applications", "/v2/organisations/user_sim/applications", "/v2/summary"} {
		if status, text := call("GET", path, ""); status != 200 || !strings.Contains(text, `"mine"`) {
			t.Errorf("GET %s = %d %s", path, status, text)
		}
	}
	if status, text := call("GET", "/v2/organisations/orga_sim/applications", ""); status != 200 || strings.TrimSpace(text) != "[]" {
		t.Errorf("the organisation's: %d %s", status, text)
	}
}
