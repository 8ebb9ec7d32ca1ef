// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// manyTenants makes the world one of several organisations, found by group attributes.
func (w *world) manyTenants() {
	w.cfg.Runners[0].Clever.MultiTenant = true
	w.cfg.Runners[0].Clever.OrgaID, w.cfg.Runners[0].Clever.Token = "", secret.String{}
	w.cfg.Runners[0].Clever.NamespaceToken = secret.New(gitlab.AdminToken)
	w.cfg.Runners[0].Clever.OrgaIDAttribute, w.cfg.Runners[0].Clever.OrgaTokenAttribute = "cc_orga_id", "cc_orga_token"
	for _, name := range []string{"one", "two"} {
		w.clever.SetOrganisation("orga_"+name, "canary-token-"+name)
		w.attributes(name, "orga_"+name, "canary-token-"+name)
	}
}

func (w *world) attributes(group, org, token string) {
	w.attributesAt(gitlabURL, group, org, token)
}

func (w *world) attributesAt(place, group, org, token string) {
	body := map[string]string{}
	if org != "" {
		body["cc_orga_id"] = org
	}
	if token != "" {
		body["cc_orga_token"] = token
	}
	w.control("PUT", place+"/_sim/groups/"+group+"/attributes", body, nil)
}

// paidBy lists the organisations that paid for a job's instances.
func (w *world) paidBy(id int64) []string {
	var out []string
	key := w.cfg.Runners[0].Owner.Key(id)
	for _, app := range w.clever.Applications() {
		if app.Name == key {
			out = append(out, app.Organisation)
		}
	}
	return out
}

// noTokens holds I7 for the credentials of tenants: nowhere in the ledger, the log or what
// was pushed.
func (w *world) noTokens() {
	files, _ := filepath.Glob(w.cfg.StateFile + "*")
	for _, f := range files {
		if raw, _ := os.ReadFile(f); strings.Contains(string(raw), "canary-token") {
			w.t.Errorf("I7: %s holds a tenant's token", f)
		}
	}
	if strings.Contains(w.log.String(), "canary-token") {
		w.t.Error("I7: the log holds a tenant's token")
	}
	for _, app := range w.clever.Applications() {
		for path, content := range app.Files {
			if text, ok := content.(string); ok && strings.Contains(text, "canary-token") {
				w.t.Errorf("I7: %s holds a tenant's token", path)
			}
		}
	}
}

func job(project string, more map[string]any) map[string]any {
	body := map[string]any{"script": []string{"true"}, "virtual_seconds": 20, "project": project}
	maps.Copy(body, more)
	return body
}

// Each job is paid by its own group's organisation; a group without one is told so.
func TestEachTenantPaysForItsJobs(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.attributes("half", "orga_half", "")
		w.queue(job("one/project", nil), "success")
		w.queue(job("two/deep/er/project", nil), "success")
		w.queue(job("nobody/project", nil), "failed")
		w.queue(job("half/project", nil), "failed")
	}, func(w *world) {
		for i, want := range [][]string{{"orga_one"}, {"orga_two"}, nil, nil} {
			if got := w.paidBy(w.orders[i].id); !slices.Equal(got, want) {
				w.t.Errorf("job %d was paid by %v, want %v", i, got, want)
			}
		}
		for i, want := range map[int]string{2: "the group nobody has no attribute cc_orga_id and cc_orga_token", 3: "the group half has no attribute cc_orga_token"} {
			if trace := w.simJobs()[i].Trace; !strings.Contains(trace, want) {
				w.t.Errorf("job %d is told:\n%s", i, trace)
			}
		}
		w.noTokens()
	})
}

// A job is paid by its own group, whatever it says of itself.
func TestNoJobIsPaidByAnotherTenant(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		claims := map[string]any{"CI_PROJECT_ROOT_NAMESPACE": "one", "CI_PROJECT_PATH": "one/project", "CI_PROJECT_NAMESPACE": "one"}
		w.queue(job("two/one/project", map[string]any{"variables": claims}), "success")
		w.queue(job("nobody/project", map[string]any{"variables": claims}), "failed")
	}, func(w *world) {
		for i, want := range [][]string{{"orga_two"}, nil} {
			if got := w.paidBy(w.orders[i].id); !slices.Equal(got, want) {
				w.t.Errorf("job %d was paid by %v, want %v", i, got, want)
			}
		}
	})
}

// One tenant's refused credential never touches another's jobs; a credential that was
// rotated is read again.
func TestTenantCredentials(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.attributes("two", "orga_two", "canary-token-wrong")
		w.begin("")
		time.Sleep(10 * time.Second)
		w.queue(job("two/project", nil), "failed")
		for range 2 {
			w.queue(job("one/project", nil), "success")
		}
		time.Sleep(2 * time.Minute)
		w.attributes("two", "orga_two", "canary-token-two")
		w.queue(job("two/project", nil), "success")
		time.Sleep(3 * time.Minute)
		w.clever.SetOrganisation("orga_one", "canary-token-rotated") // while the old one is still remembered
		w.attributes("one", "orga_one", "canary-token-rotated")
		w.queue(job("one/project", nil), "success")
	}, func(w *world) { w.noTokens() })
}

// A credential that goes away while the instance is up: nothing is destroyed with another
// organisation's, and the instance goes as soon as the credential is back.
func TestTenantGoesAway(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.queue(job("one/project", map[string]any{"virtual_seconds": 400}), "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.attributes("one", "orga_two", "canary-token-two")
		time.Sleep(20 * time.Minute)
		for _, app := range w.clever.Applications() {
			if app.State == "deleted" {
				w.t.Error("an instance was destroyed though its organisation is another one now")
			}
		}
		s := w.life.manager.Status()
		if len(s.Instances) != 1 || s.Weight == 0 {
			w.t.Errorf("the weight of an instance without credential is not held: %+v", s)
		}
		for _, organisation := range []string{"orga_one", "orga_two"} {
			if !strings.Contains(s.Fuse, "in "+organisation+" only: runner clever acts for orga_two now") {
				w.t.Errorf("%s: the fuse says %q", organisation, s.Fuse)
			}
		}
		w.attributes("one", "orga_one", "canary-token-one")
	}, func(w *world) { w.noTokens() })
}

// lists counts how often an organisation's applications were listed.
func (w *world) lists(organisation string) (n int) {
	var all []simRequest
	w.control("GET", cleverURL+"/_sim/requests", nil, &all)
	for _, r := range all {
		if r.Method == "GET" && r.Path == "/v2/organisations/"+organisation+"/applications" {
			n++
		}
	}
	return n
}

// A tenant that puts things under our keys into its own organisation stops the destruction
// of what is unrecorded there, and nobody else's (I8).
func TestFuseOfOneTenant(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.queue(job("one/project", nil), "success")
		w.queue(job("two/project", nil), "success")
		w.begin("")
		time.Sleep(5 * time.Minute) // both have ended: what is planted weighs too
		owner := w.cfg.Runners[0].Owner
		plant := func(organisation string, id int64) {
			if _, err := w.clever.AddForeign(organisation, owner.Key(id)); err != nil {
				w.t.Fatal(err)
			}
		}
		for id := range int64(7) {
			plant("orga_one", 500+id)
		}
		before := w.lists("orga_two")
		time.Sleep(30 * time.Minute)
		if n := w.lists("orga_two") - before; n > 4 {
			w.t.Errorf("what another tenant has planted makes this one's instances be listed %d times in half an hour", n)
		}
		plant("orga_two", 600)
		time.Sleep(15 * time.Minute)
		left := map[string]int{}
		for _, app := range w.clever.Applications() {
			if app.State != "deleted" {
				left[app.Organisation]++
			}
		}
		if left["orga_one"] != 2 || left["orga_two"] != 0 {
			w.t.Errorf("unrecorded instances are left: %v; want the two above the allowance, where the fuse is blown", left)
		}
		if s := w.life.manager.Status(); !strings.HasPrefix(s.Fuse, "in orga_one only: too many") || strings.Contains(s.Fuse, "orga_two") {
			w.t.Errorf("the fuse says %q", s.Fuse)
		}
		w.end()
		w.begin("")
		time.Sleep(5 * time.Minute)
		if s := w.life.manager.Status(); !strings.HasPrefix(s.Fuse, "in orga_one only: too many") {
			w.t.Errorf("after a restart the fuse says %q", s.Fuse)
		}
		if err := w.life.manager.ReleaseFuse(); err != nil {
			w.t.Error(err)
		}
	}, nil)
}

// The ledger is lost: the tenants are found again by their groups' attributes.
func TestLedgerOfManyTenantsIsLost(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.queue(job("one/project", map[string]any{"virtual_seconds": 300}), "success")
		w.queue(job("two/project", map[string]any{"virtual_seconds": 300}), "success")
		w.begin("")
		time.Sleep(time.Minute)
		w.end()
		w.forgot = true
		files, _ := filepath.Glob(w.cfg.StateFile + "*")
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				w.t.Fatal(err)
			}
		}
		w.begin("")
	}, func(w *world) { w.noTokens() })
}

// A coordinator that does not tell attributes for a while delays its jobs, no more.
func TestAttributesAreNotTold(t *testing.T) {
	for name, f := range map[string]map[string]any{"502": {"status": 502}, "garbage": {"status": 200, "body": "{"}, "cut": {"drop": "before"}} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.manyTenants()
				f["match"], f["times"] = "GET /api/v4/groups/*/custom_attributes", 6
				w.fault(gitlabURL, f)
				w.fault(gitlabURL, map[string]any{"match": "GET /api/v4/groups", "times": 6, "status": 500})
				w.queue(job("one/project", nil), "success")
			}, nil)
		})
	}
}

// The crash walk with several tenants.
func TestCrashesWithManyTenants(t *testing.T) {
	jobs := func(w *world) {
		w.manyTenants()
		w.queue(job("one/project", nil), "success")
		w.queue(job("two/project", nil), "success")
		w.queue(job("nobody/project", nil), "failed")
	}
	all := points(once(t, 11, jobs))
	step := 4
	if testing.Short() {
		step = 20
	}
	for i := 0; i < len(all); i += step {
		t.Run(all[i], func(t *testing.T) {
			t.Parallel()
			once(t, 11, jobs, &fate{target: all[i]})
		})
	}
}

// After a lost ledger, a tenant's job waits until what its organisation has was listed, and
// is told so; jobs of others do not.
func TestTenantIsListedBeforeItsJobs(t *testing.T) {
	big := map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"}
	run(t, func(w *world) {
		w.manyTenants()
		w.queue(job("two/project", map[string]any{"virtual_seconds": 600, "variables": big}), "success")
		w.begin("")
		time.Sleep(time.Minute)
		w.end()
		w.lose()
		w.fault(cleverURL, map[string]any{"match": "GET /v2/organisations/orga_two/applications", "times": 0, "status": 502})
		w.begin("")
		w.queue(job("two/project", map[string]any{"variables": big}), "success")
		time.Sleep(3 * time.Minute)
		other := w.queue(job("one/project", map[string]any{"variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"}}), "success")
		time.Sleep(3 * time.Minute)
		if j := w.simJob(other.id); j.Status != "success" {
			t.Errorf("another tenant's job is %s", j.Status)
		}
		w.heal(cleverURL)
	}, func(w *world) {
		var made []clever.Application
		for _, app := range w.clever.Applications() {
			if app.Organisation == "orga_two" {
				made = append(made, app)
			}
		}
		if len(made) != 2 || made[0].DeletedAt == nil || made[1].CreatedAt.Before(*made[0].DeletedAt) {
			t.Errorf("the first fills the quota, and the second did not wait for its end: %+v", made)
		}
		if trace := w.simJobs()[1].Trace; !strings.Contains(trace, "waiting for a list of all instances that exist already") {
			t.Errorf("the job is not told what it waits for:\n%s", trace)
		}
	})
}

// After a lost ledger, tenants that could not be found since something refused everything are
// looked for as soon as a coordinator answers: what is left there counts before anything
// is launched.
func TestTenantsAreSoughtOnceTheyCanBe(t *testing.T) {
	big := map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"}
	run(t, func(w *world) {
		w.manyTenants()
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 400, "project": "two/project", "variables": big}, "success")
		w.begin("")
		time.Sleep(time.Minute)
		w.end()
		w.lose()
		w.refuse.Store(true)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "project": "one/project", "variables": big}, "success")
		w.begin("")
		time.Sleep(20 * time.Minute)
		w.refuse.Store(false)
	}, func(w *world) {
		apps := w.clever.Applications()
		if len(apps) != 2 {
			t.Fatalf("%d instances were made", len(apps))
		}
		if left := apps[0].DeletedAt; left == nil || apps[1].CreatedAt.Before(*left) {
			t.Errorf("the first, which fills the quota, is deleted at %v, the second made at %s", left, apps[1].CreatedAt)
		}
	})
}
