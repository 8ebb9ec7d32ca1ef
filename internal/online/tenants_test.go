// SPDX-License-Identifier: Apache-2.0

package online_test

import (
	"slices"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/secret"
)

// tenant makes a group and its organisation; an empty part is left out.
func (w *world) tenant(group, org, token string) {
	w.t.Helper()
	var parts []string
	if org != "" {
		parts = append(parts, `"cc_orga_id":"`+org+`"`)
	}
	if token != "" {
		parts = append(parts, `"cc_orga_token":"`+token+`"`)
	}
	control(w.t, w.gitlab, "PUT", "/_sim/groups/"+group+"/attributes", "{"+strings.Join(parts, ",")+"}", nil)
}

const attributes = "cc_gitlab_namespace_attributes_token"

func TestEachTenantIsLookedAt(t *testing.T) {
	in(t, func(_ *testing.T, w *world) {
		for _, name := range []string{"one", "two"} {
			w.clever.SetOrganisation("orga_"+name, "canary-"+name)
		}
		w.tenant("one", "orga_one", "canary-one")
		w.tenant("two", "orga_two", "canary-wrong")
		w.tenant("half", "orga_half", "")
		w.tenant("rest", "", "canary-rest")
		w.tenant("none", "", "")
		cfg := file(manyTenants(runner("a")))
		got := w.check(cfg)
		w.want("the groups", got[:8],
			"good: token: known", "good: no other manager", "good: "+attributes+": known to http://gitlab.test",
			"warning: group half has no attribute cc_orga_token; its jobs will fail",
			"warning: group rest has no attribute cc_orga_id; its jobs will fail",
			"good: cloud: zone par", "good: flavors",
			"good: cloud, orga_one (group one): the credential is good; zone par")
		w.want("the tenants", got[8:], "good: credential of orga_one (group one): ends on ",
			"wrong: cloud, orga_two (group two): list applications of orga_two: GET /organisations/orga_two/applications: credential refused")

		// What is wrong with the settings is said once, not for each tenant.
		cfg.Runners[0].Clever.Zone = "moon"
		zone := slices.DeleteFunc(w.check(cfg), func(line string) bool { return !strings.Contains(line, "moon") })
		w.want("the zone", zone, `wrong: cloud: cc_zone: "moon" is not available`)
	})
}

// Without the right to see attributes groups look as if they had none.
func TestAttributesThatMayNotBeSeen(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		cfg := file(manyTenants(runner("a")))
		w.want("no groups", w.check(cfg)[3:4], "warning: no top-level group is connected to an organisation")
		w.tenant("one", "orga_sim", "sim-cc-token")

		bare := `"status":200,"headers":{"Content-Type":"application/json"},"body":"[{\"full_path\":\"one\"}]"`
		fault(t, w.gitlab, "GET /api/v4/groups", bare)
		w.want("no attributes", w.check(cfg)[3:4], "warning: no top-level group is connected")
		fault(t, w.gitlab, "GET /api/v4/groups/*/custom_attributes", `"status":403,"body":"{\"message\":\"403 Forbidden\"}"`)
		w.want("no right", w.check(cfg)[2:3], "wrong: "+attributes+": it may not read the attributes of groups, which takes an administrator (GET")
		heal(t, w.gitlab)
		fault(t, w.gitlab, "GET /api/v4/groups", `"status":502`)
		w.want("down", w.check(cfg)[2:3], "unreachable: "+attributes+": GET /api/v4/groups")
		heal(t, w.gitlab)
		fault(t, w.gitlab, "GET /api/v4/groups", `"status":200,"headers":{"Content-Type":"application/json"},"body":"{}"`)
		w.want("no list", w.check(cfg)[2:3], "wrong: "+attributes+": GET /api/v4/groups")
		heal(t, w.gitlab)

		cfg.Runners[0].Clever.NamespaceToken = secret.New("canary")
		w.want("a wrong token", w.check(cfg)[2:3], "wrong: "+attributes+": http://gitlab.test does not know it")
	})
}

// A runner that acts as one user for all needs no token of the groups, and has one
// credential.
func TestOneUserForAllTenants(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.tenant("one", "orga_sim", "")
		w.tenant("two", "orga_two", "")
		rc := manyTenants(runner("a"))
		rc.Clever.Auth = config.Auth{
			Scheme: config.AuthOAuth1, ConsumerKey: "k", ConsumerSecret: secret.New("canary"), OAuthToken: secret.New("canary-u"), OAuthSecret: secret.New("canary-s"),
		}
		fault(t, w.clever, "GET /v2/organisations/*/applications", `"status":200,"body":"[]"`)
		fault(t, w.clever, "GET /v2/self/tokens/current", `"status":200,"body":"{\"expirationDate\":\"2000-01-05T00:00:00Z\"}"`)
		got := w.check(file(rc))
		w.want("one user", got[len(got)-3:], "good: cloud, orga_sim (group one)", "good: cloud, orga_two (group two)",
			"warning: credential of the user who acts for all tenants: ends on 2000-01-05, in 4 days")
	})
}
