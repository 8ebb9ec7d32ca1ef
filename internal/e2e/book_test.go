// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/store"
)

// book holds what the ledger was told, and compares each commit with what was recorded
// before it and with the world at that instant. So a decision that is wrong is seen when
// it is made, and need not do harm in the history at hand. It lives through all lives of
// the service; it changes nothing.
type book struct {
	w *world

	mu        sync.Mutex
	jobs      map[fleet.JobID]noted[fleet.Job]
	instances map[string]noted[fleet.Instance]
	begun     time.Time       // of the present life
	drained   time.Time       // when it was told to stop; zero = not yet
	failed    time.Time       // since then commits fail; zero = they work
	failures  int             // of commits, in the present life
	blown     map[string]bool // the fuse is, as far as the ledger was told: of an organisation, or "" of all
	passed    []time.Time
	launched  time.Time            // the last launch
	unknown   map[string]time.Time // since when the answer to an instance's creation is not known
	canceling map[fleet.JobID]time.Time
	lists     map[string][]time.Time // of an organisation, when they were asked for
	creates   map[string]int         // that failed in the present life, by kind of instance
	reads     map[string]time.Time   // of applications, since their last deletion was asked for
	cared     map[fleet.JobID]bool   // jobs that were recorded, or that a call was made about
	forgot    bool                   // the ledger was lost in between
	shifted   bool                   // the clock was set in between

	lines      lines
	attended   time.Time      // since then the service looks after what there is: it began, or was not frozen any more
	cfg        *config.Config // as the service has it; nil = it was not reloaded
	looser     *config.Config // what it is replaced by, or replaces, while that is not certain
	reloaded   time.Time      // the last time
	removed    map[string]time.Time
	jumped     time.Time            // when the clock jumped so that the fuse has to blow
	skewed     time.Time            // when it jumped last
	making     map[string]bool      // keys that the present life has asked for
	lastFailed map[string]time.Time // when a creation failed, by kind of instance
	touched    map[fleet.JobID]time.Time
	launchable time.Time // since when a job could be launched
	askable    map[string]time.Time
	told       map[string]bool
	faulty     map[fleet.JobID]bool
	// parkedTooLong: since then a runner asks as if it were strict, for an hour.
	parkedTooLong map[string]time.Time
}

// noted is a record and when it came into its state.
type noted[T any] struct {
	rec   T
	since time.Time
}

func newBook(w *world) *book {
	return &book{
		w: w, unknown: map[string]time.Time{}, canceling: map[fleet.JobID]time.Time{},
		cared: map[fleet.JobID]bool{}, lists: map[string][]time.Time{}, reads: map[string]time.Time{},
		blown:   map[string]bool{},
		removed: map[string]time.Time{}, told: map[string]bool{}, faulty: map[fleet.JobID]bool{}, touched: map[fleet.JobID]time.Time{},
		lines: newLines(), lastFailed: map[string]time.Time{}, askable: map[string]time.Time{},
	}
}

// reloads is told that a configuration takes the place of another one; of itself when it has.
func (b *book) reloads(old, now *config.Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looser, b.cfg, b.reloaded = old, now, time.Now()
	b.lines.quiet = map[string]time.Time{}
	for _, r := range old.Runners {
		if !slices.ContainsFunc(now.Runners, func(other config.Runner) bool { return other.Name == r.Name }) {
			b.removed[r.Name] = time.Time{}
		}
	}
	for name, at := range b.removed {
		switch {
		case slices.ContainsFunc(now.Runners, func(r config.Runner) bool { return r.Name == name }):
			delete(b.removed, name)
			delete(b.parkedTooLong, name) // who comes back begins anew
		case at.IsZero() && old == now:
			b.removed[name] = time.Now()
		}
	}
}

// begins is told with which configuration a life begins.
func (b *book) begins(cfg *config.Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg != nil {
		b.cfg, b.looser = cfg, cfg
	}
}

// inForce is the configuration that the service works with.
func (b *book) inForce() *config.Config {
	if b.cfg == nil {
		return b.w.cfg
	}
	return b.cfg
}

// jumps is told that the wall clock is set under the present life.
func (b *book) jumps(by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	near := time.Since(b.skewed) < 2*time.Minute // one may undo the other before anybody looks
	b.skewed, b.jumped = time.Now(), time.Time{}
	if by.Abs() > noticed+time.Minute && !near {
		b.jumped = time.Now()
	}
}

// freezes is told that the present life does nothing until a time.
func (b *book) freezes(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attended, b.launchable, b.askable = until, time.Time{}, map[string]time.Time{}
}

// reloadFailed is told that the running life has refused what the next one will have.
func (b *book) reloadFailed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg = b.looser
}

// observed is a ledger that the book looks at.
type observed struct {
	*store.Store
	book *book
}

// Load is what a life begins with.
func (o observed) Load(ctx context.Context) (store.Snapshot, error) {
	snap, err := o.Store.Load(ctx)
	if err == nil {
		o.book.open(snap)
	}
	return snap, err
}

// Commit looks at what was committed.
func (o observed) Commit(ctx context.Context, change store.Change) error {
	for _, rec := range change.Instances {
		if !o.book.knows(rec.Key) {
			if was, ok, err := o.Store.Instance(ctx, rec.Key); err == nil && ok {
				o.book.recall(was)
			}
		}
	}
	err := o.Store.Commit(ctx, change)
	o.book.committed(change, err)
	return err
}

func (b *book) open(snap store.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.begun, b.drained, b.failed, b.failures = now, time.Time{}, time.Time{}, 0
	b.jobs, b.instances = map[fleet.JobID]noted[fleet.Job]{}, map[string]noted[fleet.Instance]{}
	b.making, b.jumped, b.skewed = map[string]bool{}, time.Time{}, time.Time{}
	b.creates, b.lastFailed, b.lines = map[string]int{}, map[string]time.Time{}, newLines()
	b.askable, b.launchable, b.parkedTooLong, b.attended = map[string]time.Time{}, time.Time{}, map[string]time.Time{}, now
	for _, rec := range snap.Jobs {
		b.jobs[rec.JobID] = noted[fleet.Job]{rec, now}
	}
	for _, rec := range snap.Instances {
		b.instances[rec.Key] = noted[fleet.Instance]{rec, now}
	}
}

// recall notes an instance that was gone before the present life began.
func (b *book) recall(rec fleet.Instance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.instances[rec.Key] = noted[fleet.Instance]{rec, b.begun}
}

func (b *book) knows(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.instances[key]
	return known
}

// lost forgets what a lost ledger can't tell any more.
func (b *book) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgot, b.blown, b.passed = true, map[string]bool{}, nil
}

// shifts notes that the clock is set between two lives.
func (b *book) shifts() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shifted = true
}

// stops notes that the present life is told to stop.
func (b *book) stops() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drained = time.Now()
}

func (b *book) committed(change store.Change, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if err != nil {
		b.failures++
		if b.failed.IsZero() {
			b.failed = now
		}
		return
	}
	b.failed = time.Time{}
	for _, rec := range change.Instances {
		b.checkInstance(rec, change)
		b.checkWritten(rec.Key, rec.LastError+string(rec.Handle))
	}
	for _, rec := range change.Jobs {
		b.checkJob(rec)
		b.checkWritten("a job", rec.Prefix+rec.FailureText)
	}
	for _, rec := range change.Jobs {
		since := now
		if was, ok := b.jobs[rec.JobID]; ok && was.rec.State == rec.State {
			since = was.since
		}
		b.jobs[rec.JobID] = noted[fleet.Job]{rec, since}
		b.cared[rec.JobID] = true
		if _, known := b.canceling[rec.JobID]; !known && !rec.CancelAt.IsZero() {
			b.canceling[rec.JobID] = now
		}
	}
	for _, rec := range change.Instances {
		since := now
		if was, ok := b.instances[rec.Key]; ok && was.rec.State == rec.State {
			since = was.since
		}
		b.remember(rec, now)
		b.instances[rec.Key] = noted[fleet.Instance]{rec, since}
	}
	b.checkSize(change)
	b.checkLaunch(change)
	b.checkAllowance(change)
	defer b.lookNow()
	for key, why := range change.Meta {
		if tenant, ok := strings.CutPrefix(key+" ", "fuse "); ok {
			b.blown[strings.TrimSuffix(tenant, " ")] = why != ""
		}
	}
	if b.blown[""] {
		b.jumped = time.Time{}
	}
	if change.Name == "release fuse" {
		b.passed, b.jumped = nil, time.Time{}
	}
}

// checkWritten holds I7 for the ledger: no credential is written down.
func (b *book) checkWritten(of, text string) {
	for _, canary := range canaries() {
		if strings.Contains(text, canary) {
			b.fault("I7: the record of %s holds %q: %q", of, canary, text)
		}
	}
}

// remember keeps since when the answer to a creation is not known.
func (b *book) remember(rec fleet.Instance, now time.Time) {
	switch was := b.instances[rec.Key]; {
	case rec.State == fleet.InstanceCreating:
		b.making[rec.Key] = true
	case was.rec.State == fleet.InstanceCreating && b.making[rec.Key]: // else an earlier life has asked for it
		b.noteCreate(rec, now)
	case was.rec.State == fleet.InstanceUnknown && rec.State == fleet.InstanceCreated:
		b.noteCreate(rec, now)
	}
	switch _, known := b.unknown[rec.Key]; {
	case rec.State != fleet.InstanceUnknown && rec.State != fleet.InstanceCreating:
		delete(b.unknown, rec.Key)
	case !known:
		b.unknown[rec.Key] = now
	}
}

func (b *book) fault(format string, args ...any) { b.w.watch.fault(format, args...) }

// held tells whether a job may be passed over: the making of instances of its kind fails, or
// its tenant's were not listed yet, or its group belongs to others for a while.
func (b *book) held(rec fleet.Job) bool {
	return b.creates[rec.Tenant+" "+rec.Flavor] >= 3 || b.w.purses || b.lines.swept[rec.Runner+" "+rec.Tenant].IsZero()
}

// python tells whether the Python program had a part in this world: what it left breaks
// rules that ours keep.
func (b *book) python() bool { return len(b.w.marks) > 0 }

// truth gives a job as its coordinator knows it.
func (b *book) truth(id fleet.JobID) (gitlab.Job, bool) {
	server := b.w.servers[id.Coordinator]
	if server == nil {
		return gitlab.Job{}, false
	}
	return server.Job(id.ID)
}

// strangers gives the applications under our keys that stand in no record, and that a list
// must have shown.
func (b *book) strangers() []clever.Application {
	if b.w.hides || b.w.purses || b.python() || b.shifted {
		return nil
	}
	return slices.DeleteFunc(b.w.clever.Applications(), func(app clever.Application) bool {
		if app.State == "deleted" || !b.w.ours(app.Name) || b.w.isForgotten(app.Name) {
			return true
		}
		n, known := b.instances[app.Name]
		if known && n.rec.State != fleet.InstanceGone {
			return true
		}
		owner, _, _ := fleet.ParseKey(app.Name)
		i := b.w.runner(owner)
		if i < 0 || !b.configured(b.w.cfg.Runners[i].Name) {
			return true
		}
		at := b.lines.swept[b.w.cfg.Runners[i].Name+" "+app.Organisation]
		since := later(later(later(app.CreatedAt, n.since), b.begun), b.w.sinceItsOwn(app.ID))
		return time.Since(at) < 2*slack || !at.After(since.Add(5*time.Second))
	})
}

// noteCreate counts the creations of one kind of instance that failed in a row.
func (b *book) noteCreate(rec fleet.Instance, now time.Time) {
	kind := rec.Tenant + " " + rec.Flavor
	switch {
	case rec.State == fleet.InstanceCreated:
		b.creates[kind] = 0
	case !strings.Contains(rec.LastError, "context ") && !strings.Contains(rec.LastError, "credential refused"): // else nobody waited, or it is read again
		b.creates[kind]++
		b.lastFailed[kind] = now
	}
}

// existing gives the applications that exist for a record: the one of its handle when it
// has one, else all of its name.
func (b *book) existing(rec fleet.Instance) []clever.Application {
	return slices.DeleteFunc(b.w.clever.Applications(), func(app clever.Application) bool {
		mine := app.Name == rec.Key
		if len(rec.Handle) > 0 {
			mine = bytes.Contains(rec.Handle, []byte(app.ID))
		}
		return !mine || app.State == "deleted"
	})
}

// hasMachine tells whether a machine runs in an application.
func hasMachine(app clever.Application) bool {
	return app.State == "booting" || app.State == "running"
}

// of finds the record of an application by its handle.
func (b *book) of(app string) (fleet.Instance, bool) {
	for _, n := range b.instances {
		if n.rec.State != fleet.InstanceGone && bytes.Contains(n.rec.Handle, []byte(app)) {
			return n.rec, true
		}
	}
	return fleet.Instance{}, false
}

// listsSince counts an organisation's lists of this life since a time, and how far apart
// the first and the last of them are.
func (b *book) listsSince(organisation string, since time.Time) (n int, apart time.Duration) {
	var first, last time.Time
	for _, at := range b.lists[organisation] {
		if at.Before(since) || at.Before(b.begun) {
			continue
		}
		if n++; n == 1 {
			first = at
		}
		last = at
	}
	return n, last.Sub(first)
}
