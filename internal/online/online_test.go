// SPDX-License-Identifier: Apache-2.0

package online_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/secret"
)

// good is what is found about runner when all is well.
var good = []string{
	"good: token: known to http://gitlab.test as runner 1", "good: no other manager of the runner",
	"good: job_trace_watch token: known to http://gitlab.test",
	"good: cloud, orga_sim: the credential is good; zone par", "good: flavors: XS, S, M, L, XL, 2XL, 3XL",
	"good: credential of orga_sim: ends on ",
}

func TestAllIsWell(t *testing.T) {
	in(t, func(_ *testing.T, w *world) {
		w.seen(systemID)
		w.want("all is well", w.check(file(runner("a"))), good...)
		if got := w.managers(); !slices.Equal(got, []string{systemID}) {
			w.t.Errorf("the coordinator knows the managers %q now", got)
		}
	})
}

// A manager that was never there asks without being recorded, if the coordinator is new
// enough to be asked so.
func TestAskingLeavesNoTrace(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.deps.SystemID = ""
		w.want("not recorded", w.check(file(runner("a")))[:2], "good: token: known to http://gitlab.test",
			"not asked: other managers of the runner: the coordinator tells the runner's id to a manager that it knows")
		if got := w.managers(); len(got) != 0 {
			t.Errorf("the coordinator knows the managers %q now", got)
		}
		bad := runner("a")
		bad.Token = secret.New("canary")
		w.want("a wrong token", w.check(file(bad))[:1], "wrong: token: http://gitlab.test does not know it; register the runner again (GET ")

		fault(t, w.gitlab, "GET /api/v4/runners/router/discovery", `"status":404,"body":"{\"error\":\"404 Not Found\"}"`)
		w.want("an old coordinator", w.check(file(runner("a")))[:2], good[:2]...)
		w.want("a wrong token, an old coordinator", w.check(file(bad))[:1], "wrong: token: http://gitlab.test does not know it; register the runner again (POST ")
	})
}

func TestOtherManagers(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.seen("r_old")
		time.Sleep(3 * time.Hour)
		w.seen("<legacy>")
		time.Sleep(90 * time.Minute)
		w.seen("r_new")
		w.want("three others", w.check(file(runner("a")))[1:4],
			`warning: another manager of the runner is online: <legacy>, version "unknown" at "127.0.0.1", seen 1 hour ago; services with one registration`,
			`warning: another manager of the runner is online: r_new, version "unknown" at "127.0.0.1", seen just now; `,
			`good: another manager of the runner is not online: r_old, version`)

		// Without a name of its own the question is recorded as that of <legacy>, which may have
		// been there before.
		w.deps.SystemID = ""
		fault(t, w.gitlab, "GET /api/v4/runners/router/discovery", `"status":404`)
		w.want("it was there before", w.check(file(runner("a")))[1:2], "warning: another manager of the runner is online: <legacy>")

		for name, c := range map[string]struct {
			fault string
			want  string
		}{
			"may not see the runner": {`"status":403,"body":"{\"message\":\"403 Forbidden\"}"`, "not asked: other managers of the runner: GET /api/v4/runners/1/managers?per_page=100: 403"},
			"too old to know any":    {`"status":404,"body":"{\"error\":\"404 Not Found\"}"`, "not asked: other managers of the runner: GET"},
			"busy":                   {`"status":503`, "unreachable: other managers of the runner: GET"},
		} {
			heal(t, w.gitlab)
			w.deps.SystemID = systemID
			fault(t, w.gitlab, "GET /api/v4/runners/*/managers", c.fault)
			w.want(name, w.check(file(runner("a")))[1:2], c.want)
		}
		nobody := runner("a")
		nobody.TraceWatch.Token = secret.String{}
		w.want("nobody's token", w.check(file(nobody))[1:2], "not asked: other managers of the runner: that takes the token of somebody who may see the runner")
	})
}

// Everything is found at once, and one bad runner does not hide the others.
func TestEverythingIsWrong(t *testing.T) {
	in(t, func(_ *testing.T, w *world) {
		bad := runner("bad")
		bad.Line = 20
		bad.Token, bad.TraceWatch.Token, bad.Clever.Token = secret.New("canary-1"), secret.New("canary-2"), secret.New("canary-3")
		bad.Clever.Zone, bad.Clever.DefaultFlavor, bad.Clever.MaxFlavor = "moon", "7XL", "8XL"
		local := runner("local")
		local.Clever.APIURL = "ftp://clever.test"
		nowhere := runner("nowhere")
		nowhere.URL = "no URL"
		cfg := file(bad, local, nowhere, runner("well"))
		cfg.Quota.ReferenceFlavor = "9XL"
		got := w.check(cfg)
		w.want("everything", got[:7],
			"bad: wrong: token: http://gitlab.test does not know it", "bad: wrong: job_trace_watch token: http://gitlab.test does not know it",
			"bad: wrong: cloud, orga_sim: list applications of orga_sim: GET /organisations/orga_sim/applications: credential refused",
			`bad: wrong: cloud, orga_sim: cc_default_flavor: flavor "7XL" is not available; choose one of XS, S, M,`,
			`bad: wrong: cloud, orga_sim: cc_zone: "moon" is not available; choose one of`, "bad: good: flavors: XS",
			`bad: wrong: cc_max_flavor: "8XL" is not available`)
		w.want("the quota", got[7:8], `bad: wrong: reference_flavor of [quota_computation]: "9XL" is not available`)
		w.want("the second", got[8:12], "local: good: token", "local: good: no other", "local: good: job_trace_watch", `local: wrong: cloud: cc_api_url "ftp://clever.test"`)
		w.want("the third", got[12:13], "nowhere: wrong: coordinator: ")
		var last []string
		for _, line := range got[16:] {
			last = append(last, strings.TrimPrefix(line, "well: "))
		}
		w.want("the last", last, good...)
	})
}

func TestFlavorsThatNobodyGets(t *testing.T) {
	in(t, func(_ *testing.T, w *world) {
		rc := runner("a")
		rc.Clever.DefaultFlavor, rc.Clever.MaxFlavor, rc.Clever.AllowedFlavors = "XL", "S", []string{"XL", "4XL"}
		got := w.check(file(rc))
		w.want("beyond the limit, and nowhere", got[5:7], `wrong: cc_allowed_flavors: "4XL" is not available; choose one of XS`,
			"warning: cc_default_flavor: XL is larger than cc_max_flavor (S): a job that does not choose is refused")
	})
}

// Nobody is waited for longer than the limit, and waiting is for all at once. Who answers
// that he is busy may be right later.
func TestNobodyAnswers(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		fault(t, w.gitlab, "* /api/v4/runners/*", `"delay":"1h"`)
		fault(t, w.clever, "GET /v2/organisations/*/applications", `"delay":"1h"`)
		begun := time.Now()
		got := w.check(file(runner("a"), runner("b")))
		if took := time.Since(begun); took != 20*time.Second {
			t.Errorf("it took %s", took)
		}
		w.want("hanging", got, "a: unreachable: token: POST", "a: unreachable: cloud, orga_sim: list applications", "b: unreachable: token: POST", "b: unreachable: cloud, orga_sim")
		time.Sleep(2 * time.Hour) // until the servers have let go
		heal(t, w.gitlab)
		heal(t, w.clever)

		elsewhere := runner("a")
		elsewhere.URL, elsewhere.Clever.APIURL = "http://nobody.test", "http://nobody.test/v2"
		w.want("nobody there", w.check(file(elsewhere)), "unreachable: token", "unreachable: cloud")
		many := manyTenants(elsewhere)
		w.want("nobody there for many", w.check(file(many)), "unreachable: token", "unreachable: cc_gitlab_namespace_attributes_token", "unreachable: cloud: cc_default_flavor: list flavors")

		fault(t, w.gitlab, "* /api/v4/runners/*", `"status":502,"body":"<html>","headers":{"Content-Type":"text/html"}`)
		fault(t, w.clever, "GET /v2/organisations/*/applications", `"status":503`)
		w.want("down", w.check(file(runner("a"))), "unreachable: token", "unreachable: cloud, orga_sim: list applications")
		heal(t, w.gitlab)
		fault(t, w.gitlab, "* /api/v4/runners/*", `"status":404,"body":"<html>","headers":{"Content-Type":"text/html"}`)
		w.want("somebody else's page", w.check(file(runner("a")))[:1], "wrong: token: POST /api/v4/runners/verify: 404 Not Found: an HTML page")
	})
}

// Credentials that end soon, or have ended, of every kind.
func TestCredentialsEnd(t *testing.T) {
	in(t, func(t *testing.T, w *world) { // it is the first of January 2000
		for _, c := range []struct{ token, pat, cloud, want string }{
			{`"2000-03-01T00:00:00Z"`, `"2000-04-01"`, `"2000-05-01T00:00:00Z"`, "good: %s: ends on 2000-"},
			{`"2000-01-15T00:00:00Z"`, `"2000-01-15"`, `947894400000`, "warning: %s: ends on 2000-01-15, in 14 days; make a new one"},
			{`"2000-01-01T05:10:00Z"`, `"2000-01-02"`, `"2000-01-01T05:10:00Z"`, "warning: %s: ends on 2000-01-0"},
			{`"1999-12-31T00:00:00Z"`, `"1999-12-31"`, `"1999-12-31T00:00:00Z"`, "wrong: %s: ended on 1999-12-31; make a new one"},
		} {
			heal(t, w.gitlab)
			heal(t, w.clever)
			quote := func(s string) string { return strings.ReplaceAll(s, `"`, `\"`) }
			fault(t, w.gitlab, "POST /api/v4/runners/verify", `"status":200,"headers":{"Content-Type":"application/json"},"body":"{\"id\":1,\"token_expires_at\":`+quote(c.token)+`}"`)
			fault(t, w.gitlab, "GET /api/v4/personal_access_tokens/self", `"status":200,"headers":{"Content-Type":"application/json"},"body":"{\"scopes\":[\"read_api\"],\"expires_at\":`+quote(c.pat)+`}"`)
			fault(t, w.clever, "GET /v2/self/tokens/current", `"status":200,"body":"{\"expirationDate\":`+quote(c.cloud)+`}"`)
			got := w.check(file(runner("a")))
			for _, subject := range []string{"token", "job_trace_watch token", "credential of orga_sim"} {
				want := strings.Replace(c.want, "%s", subject, 1)
				if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, want) }) {
					t.Errorf("no %q in\n\t%s", want, strings.Join(got, "\n\t"))
				}
			}
		}
		heal(t, w.gitlab)
		heal(t, w.clever)
		fault(t, w.gitlab, "GET /api/v4/personal_access_tokens/self", `"status":200,"headers":{"Content-Type":"application/json"},"body":"{\"scopes\":[\"read_user\",\"sudo\"]}"`)
		fault(t, w.clever, "GET /v2/self/tokens/current", `"status":404,"body":"{\"id\":1,\"message\":\"none\",\"type\":\"error\"}"`)
		got := w.check(file(runner("a")))
		w.want("scopes", got[2:3], "wrong: job_trace_watch token: its scopes are read_user, sudo; it needs read_api")
		w.want("not told", got[5:], "not asked: credential of orga_sim: the cloud does not tell when it ends")
	})
}
