// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/manager"
)

// lookAtFigures compares what the service says of itself with what is recorded and with what
// there is in the cloud.
func (w *world) lookAtFigures() {
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	if w.life == nil || time.Since(w.life.begun) < 3*time.Minute || w.full.Load() || w.frozen.Load() != nil {
		return
	}
	before := w.book.sum()
	status := w.life.manager.Status()
	audit, err := w.life.manager.Audit()
	if err != nil || status.StartedAt.IsZero() || w.book.sum() != before {
		return // it has ended, or something happened at this instant
	}
	w.book.checkFigures(status, audit)
	for _, canary := range canaries() {
		if strings.Contains(fmt.Sprintf("%+v %+v", status, audit), canary) {
			w.watch.fault("I7: what the service shows holds %q", canary)
		}
	}
}

// looksNowAndThen is an operator who has an eye on the figures.
func (w *world) looksNowAndThen() {
	for round := 0; w.ctx.Err() == nil && round < 12; round++ {
		time.Sleep(4*time.Minute + 41*time.Second + 29*time.Millisecond + 713*time.Microsecond)
		w.lookAtFigures()
	}
}

// sums is what a status has to show.
type sums struct {
	weight                              fleet.Weight
	instances, open, provisioning, lost int
	blown                               int
}

func (b *book) sum() sums {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, blown := b.usage(), 0
	for _, is := range b.blown {
		if is {
			blown++
		}
	}
	return sums{weight: u.weight, instances: u.count, open: u.open, provisioning: u.provisioning, lost: b.failures, blown: blown}
}

func (b *book) checkFigures(status manager.Status, audit manager.Audit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 {
		return
	}
	u := b.usage()
	strange := slices.ContainsFunc(status.Strangers, func(key string) bool { return !b.w.isForgotten(key) })
	if status.Weight < u.weight || !strange && status.Weight != u.weight || strange && status.Weight == u.weight {
		b.fault("I3: a weight of %s is shown, recorded are %s, and in no record are %v", status.Weight, u.weight, status.Strangers)
	}
	if status.OpenJobs != u.open || status.Provisioning > u.provisioning+u.outside {
		b.fault("I3: %d jobs and %d in the making are shown, recorded are %d and %d", status.OpenJobs, status.Provisioning, u.open, u.provisioning)
	}
	for tenant, blown := range b.blown {
		if blown && status.Fuse == "" && !b.forgot {
			b.fault("I4: the fuse of %q is recorded as blown, and is shown as whole", tenant)
		}
	}
	told, unexplained := map[string]manager.AuditEntry{}, 0
	for _, e := range audit.Entries {
		if e.Ledger != "" || told[e.Key].Key == "" {
			told[e.Key] = e
		}
		if !e.Explained {
			unexplained++
		}
	}
	if unexplained != audit.Unexplained {
		b.fault("I5: the audit counts %d as unexplained and shows %d", audit.Unexplained, unexplained)
	}
	for key, n := range b.instances {
		e, shown := told[key]
		switch resists := n.rec.State == fleet.InstanceDeleting && time.Since(later(n.since, b.begun)) > 25*time.Minute; {
		case n.rec.State == fleet.InstanceGone:
		case !shown || e.Ledger != string(n.rec.State):
			b.fault("I5: the audit shows %s as %q, it is recorded as %s", key, e.Ledger, n.rec.State)
		case resists && e.Explained && !b.shifted:
			b.fault("I5: the audit says of %s, which should have been gone %s ago: %s", key, time.Since(n.since), e.Verdict)
		}
	}
	b.checkStrangers(told)
}

// checkStrangers: what stands in no record is counted as what nobody explains.
func (b *book) checkStrangers(told map[string]manager.AuditEntry) {
	for _, app := range b.strangers() {
		if e, shown := told[app.Name]; !shown || e.Explained {
			b.fault("I5: %s exists since %s in no record, and the audit says: %+v", app.Name, app.CreatedAt, e)
		}
	}
}
