// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/clever"
)

// tidiesUp is an operator who looks every few minutes for what was kept: of some instances
// the service is told that they are not its own any more, and they go later; others are
// deleted without a word.
func (w *world) tidiesUp() {
	for round := 0; w.ctx.Err() == nil && round < 200; round++ {
		time.Sleep(4*time.Minute + 17*time.Millisecond + 313*time.Microsecond)
		w.story.note("-- somebody looks after what was kept")
		for _, app := range w.clever.Applications() {
			if w.isForgotten(app.Name) && app.State != "deleted" && round%2 == 1 {
				w.removeByHand(app)
			}
		}
		w.awake(449 * time.Microsecond)
		w.lifeMu.Lock()
		var kept []fleet.Instance
		if w.life != nil {
			kept = slices.DeleteFunc(w.life.manager.Status().Instances, func(vm fleet.Instance) bool { return vm.State != fleet.InstanceKept })
		}
		for i, vm := range kept {
			if (i+round)%2 == 1 {
				continue
			}
			w.given.Store(vm.Key, true)
			if w.life.manager.Forget(vm.Key) != nil {
				w.given.Delete(vm.Key) // the ledger can't be written, or the service has ended
			}
		}
		w.lifeMu.Unlock()
		for i, vm := range kept {
			if (i+round)%2 == 1 {
				w.removeAll(vm.Key)
			}
		}
	}
}

// cancelJobOn cancels the job of an instance as its user would.
func (w *world) cancelJobOn(key string) {
	owner, id, ok := fleet.ParseKey(key)
	i := w.runner(owner)
	if !ok || i < 0 {
		return
	}
	place := w.cfg.Runners[i].Coordinator
	w.canceled.Store(fleet.JobID{Coordinator: place, ID: id}, time.Now())
	w.control("POST", fmt.Sprintf("%s/_sim/jobs/%d/cancel", place, id), map[string]any{}, nil)
	w.logMu.Lock()
	defer w.logMu.Unlock()
	for i, o := range w.orders {
		if o.id == id && o.place == place {
			w.orders[i].want = ends()
		}
	}
}

func (w *world) removeAll(name string) {
	for _, app := range w.clever.Applications() {
		if app.Name == name && app.State != "deleted" {
			w.removeByHand(app)
		}
	}
}

// isForgotten tells whether a name is that of an instance that was kept and given away.
func (w *world) isForgotten(name string) bool {
	_, given := w.given.Load(name)
	return given
}

// crowd puts applications of others before ours into every organisation.
func (w *world) crowd() {
	for _, organisation := range []string{clever.FirstOrganisation, "orga_one"} {
		if organisation != w.payer() {
			continue
		}
		for i := range 12 {
			if _, err := w.clever.AddForeign(organisation, fmt.Sprintf("shop-%d", i)); err != nil {
				w.t.Error(err)
			}
		}
	}
}

// rename gives one of our instances a name that is not ours, as somebody with a console would.
func (w *world) rename(which int) {
	alive := slices.DeleteFunc(w.clever.Applications(), func(app clever.Application) bool {
		return app.State == "deleted" || !w.ours(app.Name) || w.isPlanted(app.Name)
	})
	if len(alive) == 0 {
		return
	}
	app := alive[which%len(alive)]
	w.lifeMu.Lock()
	if w.renamed == nil {
		w.renamed = map[string]string{}
	}
	w.renamed[app.ID] = app.Name
	w.lifeMu.Unlock()
	w.callIt(app, "somebody-elses")
}

// renameBack gives it its name again.
func (w *world) renameBack() {
	for _, app := range w.clever.Applications() {
		if name := w.renamed[app.ID]; name != "" && app.State != "deleted" {
			w.callIt(app, name)
			w.ownAgain.Store(app.ID, time.Now())
		}
	}
}

// sinceItsOwn tells since when an application that somebody renamed has its name again.
func (w *world) sinceItsOwn(id string) time.Time {
	at, _ := w.ownAgain.Load(id)
	since, _ := at.(time.Time)
	return since
}

func (w *world) callIt(app clever.Application, name string) {
	for range 20 { // a mishap may be in the way of people too, for a while
		r, err := http.NewRequest(http.MethodPut, "/v2/organisations/"+app.Organisation+"/applications/"+app.ID, bytes.NewReader(fmt.Appendf(nil, `{"name":%q}`, name)))
		if err != nil {
			w.t.Error(err)
			return
		}
		r.Header.Set("Authorization", "token "+w.tokenOf(app.Organisation))
		if w.byHand(r) {
			return
		}
		time.Sleep(11 * time.Second)
	}
	w.t.Errorf("%s can't be renamed by hand", app.Name)
}
