// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"testing"
	"time"
)

// wait is how long a job waited until its coordinator saw its end.
func (w *world) took(id int64) time.Duration {
	j := w.simJob(id)
	if j.FinishedAt == nil || j.AcquiredAt == nil {
		w.t.Errorf("job %d is %s", id, j.Status)
		return 0
	}
	return j.FinishedAt.Sub(*j.AcquiredAt)
}

// A group whose attributes were missing has them now: the next job asks again, and is not
// told what was true yesterday.
func TestMendedAttributesCountAtOnce(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.attributes("late", "", "")
		w.begin("")
		time.Sleep(10 * time.Second)
		w.queue(job("late/project", nil), "failed")
		time.Sleep(time.Hour)
		w.clever.SetOrganisation("orga_late", "canary-token-late")
		w.attributes("late", "orga_late", "canary-token-late")
		w.queue(job("late/project", nil), "success")
	}, func(w *world) {
		if got := w.paidBy(w.orders[1].id); !slices.Equal(got, []string{"orga_late"}) {
			t.Errorf("the second job was paid by %v", got)
		}
	})
}

// A group that names an organisation which the cloud does not know, or can't tell about,
// never keeps the others from being served.
func TestOneTenantsCloudDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]map[string]any{
		"unknown organisation": nil,
		"503":                  {"status": 503, "body": "<html>"},
		"forbidden by a proxy": {"status": 403, "body": "<html>"},
		"hangs":                {"delay": "50s"},
		"404":                  {"status": 404, "body": `{"id":2001,"message":"This organisation does not exist","type":"error"}`},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.manyTenants()
				w.attributes("typo", "orga_typo", "canary-token-typo")
				if f != nil {
					w.clever.SetOrganisation("orga_typo", "canary-token-typo")
					f["match"], f["times"] = "GET /v2/organisations/orga_typo/applications", 0
					w.fault(cleverURL, f)
				}
				w.begin("")
				time.Sleep(10 * time.Minute)
				w.queue(job("one/project", nil), "success")
				time.Sleep(10 * time.Minute)
				if got := w.took(w.orders[0].id); got > 2*time.Minute {
					t.Errorf("the other tenant's job took %s", got)
				}
				w.heal(cleverURL)
			}, nil)
		})
	}
}

// A tenant for whom nothing can be made has many jobs in the queue: those of the others
// run all the same, and soon.
func TestABrokenTenantDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]map[string]any{
		"credential refused": {"status": 401, "body": `{"id":2001,"message":"Not connected","type":"error"}`},
		"refused":            {"status": 402, "body": `{"id":3001,"message":"the organisation has to pay first","type":"error"}`},
		"503":                {"status": 503, "body": "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.manyTenants()
				w.cfg.Quota.ReferenceJobs = 20
				f["match"], f["times"] = "POST /v2/organisations/orga_two/applications", 0
				w.fault(cleverURL, f)
				for range 12 {
					w.queue(job("two/project", nil), "failed")
				}
				w.begin("")
				time.Sleep(time.Minute)
				var ids []int64
				for range 3 {
					ids = append(ids, w.queue(job("one/project", nil), "success").id)
					time.Sleep(100 * time.Second)
				}
				for _, id := range ids {
					j := w.simJob(id)
					if j.AcquiredAt == nil || j.FinishedAt == nil {
						t.Errorf("the other tenant's job %d is %s", id, j.Status)
					}
				}
			}, nil)
		})
	}
}

// A group is renamed while one of its instances is up, whose organisation's credential is
// rotated, too: the group is found by its id, also by the next life of the service.
func TestRenamedGroupIsStillFound(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.queue(job("one/project", map[string]any{"virtual_seconds": 400}), "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.fault(gitlabURL, map[string]any{
			"match": "GET /api/v4/groups/one/custom_attributes", "times": 0, "status": 404, "body": `{"message":"404 Group Not Found"}`,
		})
		w.end()
		w.clever.SetOrganisation("orga_one", "canary-token-rotated")
		w.attributes("one", "orga_one", "canary-token-rotated")
		w.begin("")
	}, nil)
}
