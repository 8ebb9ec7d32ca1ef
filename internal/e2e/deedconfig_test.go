// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"time"

	"pgregory.net/rapid"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
)

// drawReload is what an operator changes in the configuration of the running service.
func drawReload(t *rapid.T) deed {
	at := within(t, 6*time.Minute, "at")
	more := rapid.IntRange(1, 3).Draw(t, "limit")
	return rapid.SampledFrom([]deed{
		{at: at, name: "reload: limit", gentle: true, do: func(w *world) {
			w.reloadNow(func(c *config.Config) { c.Runners[0].Limit = more })
		}},
		{at: at, name: "reload: default flavor", gentle: true, do: func(w *world) {
			w.reloadNow(func(c *config.Config) { c.Runners[0].Clever.DefaultFlavor = "XS" })
		}},
		{at: at, name: "reload: nothing changed", gentle: true, do: func(w *world) { w.reloadNow(func(*config.Config) {}) }},
		{at: at, name: "reload: ceilings", bounded: true, do: func(w *world) {
			w.reloadNow(func(c *config.Config) {
				c.Concurrent, c.MaxProvisioning, c.Quota.ReferenceJobs = 2*more-1, more, 2*more-1
			})
		}},
		{at: at, name: "reload: runner removed", do: func(w *world) {
			w.reloadNow(func(c *config.Config) { c.Runners = c.Runners[:1] })
		}, until: at + time.Duration(3*more)*time.Minute, undo: func(w *world) {
			w.lookAtFigures()
			w.reloadNow(func(c *config.Config) {
				for _, again := range w.cfg.Runners[1:] {
					again.Clever.Token = c.Runners[0].Clever.Token // it may have been rotated
					c.Runners = append(c.Runners[:1:1], again)
				}
			})
		}},
	}).Draw(t, "reload")
}

const otherOrganisation = "attributes: another organisation"

// drawPurse changes who pays for jobs, or with which credential.
func drawPurse(t *rapid.T) deed {
	at := within(t, 6*time.Minute, "at")
	late := within(t, 2*time.Minute, "late")
	if oneIn(t, 3, "another organisation") {
		return deed{
			at: at, name: otherOrganisation, purse: true, dropped: true, do: func(w *world) { w.swapTenants(true) },
			until: at + 10*time.Minute, undo: func(w *world) {
				w.book.checkAccount()
				w.swapTenants(false)
			},
		}
	}
	if oneIn(t, 3, "taken away") {
		return deed{
			at: at, name: "attributes: taken away", purse: true, dropped: true, do: func(w *world) {
				w.poor.Store(true)
				w.setPurse("one", "", "")
			},
			until: at + 2*late, undo: func(w *world) {
				w.setPurse("one", "orga_one", w.tokenOf("orga_one"))
				w.poor.Store(false)
				w.richAgain.Store(time.Now().UnixNano())
			},
		}
	}
	return deed{
		at: at, name: "credential: rotated", purse: true, do: func(w *world) { w.rotate() },
		until: at + late, undo: func(w *world) { w.tellRotated() },
	}
}

// swapTenants lets group one belong to the other organisation for a while.
func (w *world) swapTenants(on bool) {
	if on {
		w.setPurse("one", "orga_two", w.tokenOf("orga_two"))
		return
	}
	w.setPurse("one", "orga_one", w.tokenOf("orga_one"))
}

// setPurse tells all coordinators who pays for a group.
func (w *world) setPurse(group, organisation, token string) {
	if !w.cfg.Runners[0].Clever.MultiTenant {
		return
	}
	for _, place := range w.places {
		w.attributesAt(place, group, organisation, token)
	}
}

// tokenOf is the present credential of an organisation.
func (w *world) tokenOf(organisation string) string {
	w.purseMu.Lock()
	defer w.purseMu.Unlock()
	return firstTokenOf(organisation) + w.rotated
}

// firstTokenOf is the credential of an organisation before it is changed.
func firstTokenOf(organisation string) string {
	if organisation == clever.FirstOrganisation {
		return clever.FirstToken
	}
	return "canary-token-" + organisation[len("orga_"):]
}

// payer is the organisation whose credential is changed.
func (w *world) payer() string {
	if w.cfg.Runners[0].Clever.MultiTenant {
		return "orga_one"
	}
	return clever.FirstOrganisation
}

// rotate gives organisations another credential: the old one is refused from now on.
func (w *world) rotate() {
	w.purseMu.Lock()
	w.rotated += "-next"
	w.purseMu.Unlock()
	for _, organisation := range []string{clever.FirstOrganisation, "orga_one", "orga_two"} {
		if organisation == w.payer() || w.cfg.Runners[0].Clever.MultiTenant && organisation == "orga_two" {
			w.clever.SetOrganisation(organisation, w.tokenOf(organisation))
		}
	}
}

// tellRotated lets the service know of it, some time after.
func (w *world) tellRotated() {
	if w.cfg.Runners[0].Clever.MultiTenant {
		w.setPurse("one", "orga_one", w.tokenOf("orga_one"))
		w.setPurse("two", "orga_two", w.tokenOf("orga_two"))
		return
	}
	token := secret.New(w.tokenOf(clever.FirstOrganisation))
	w.reloadNow(func(c *config.Config) {
		for i := range c.Runners {
			c.Runners[i].Clever.Token = token
		}
	})
}

// drawRoom lets the cloud have no room for one flavor for a while.
func drawRoom(t *rapid.T) deed {
	at := within(t, 3*time.Minute, "at")
	flavor := rapid.SampledFrom([]string{"XS", "S", "M", "M", "M", "L"}).Draw(t, "flavor")
	if oneIn(t, 3, "organisation") {
		return deed{
			at: at, name: "no capacity: an organisation", bounded: true, do: func(w *world) { w.watch.lies.refuseOrganisation("orga_one") },
			until: at + 4*time.Minute + within(t, 8*time.Minute, "for"), undo: func(w *world) { w.watch.lies.refuseOrganisation("") },
		}
	}
	return deed{
		at: at, name: "no capacity: flavor " + flavor, bounded: true, do: func(w *world) { w.watch.lies.refuseFlavor("heptapod-runner-" + flavor) },
		until: at + 2*time.Minute + within(t, 8*time.Minute, "for"), undo: func(w *world) { w.watch.lies.refuseFlavor("") },
	}
}

// drawRefusals lets a proxy refuse some calls about jobs as a coordinator would, every one
// or every second one.
func drawRefusals(t *rapid.T) deed {
	at, n := within(t, 6*time.Minute, "at"), evenly(t, 1, 10, "times")
	status := rapid.SampledFrom([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}).Draw(t, "status")
	step := rapid.IntRange(1, 2).Draw(t, "every")
	if rapid.Bool().Draw(t, "of ends") {
		if rapid.Bool().Draw(t, "accepted") {
			return deed{at: at, name: "end accepted, not stored: PUT", dropped: true, do: func(w *world) { w.watch.lies.set(acceptEnd, n) }}
		}
		return deed{at: at, name: "end answered by a proxy: PUT", dropped: true, do: func(w *world) { w.watch.lies.set(pageEnd, n) }}
	}
	return deed{at: at, name: fmt.Sprintf("refused with %d: every %d. question about a job", status, step), dropped: true, do: func(w *world) {
		w.watch.lies.refuse(status, step, n)
	}}
}
