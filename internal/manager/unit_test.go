// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

func bare() *Manager {
	return &Manager{
		deps: Deps{Ledger: nothing{}}, cfg: &config.Config{}, log: slog.New(slog.DiscardHandler),
		rng: rand.New(rand.NewPCG(1, 2)), jobs: map[fleet.JobID]*job{}, machines: map[string]*machine{}, clock: newClock(nil),
	}
}

// nothing is a ledger that takes everything and keeps nothing.
type nothing struct{ Ledger }

func (nothing) Commit(context.Context, store.Change) error { return nil }

func TestBackoffDoublesToItsCapAndObeysRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := bare(), backoff{}
		var waits []time.Duration
		for range 8 {
			b.failed(m, time.Second, 30*time.Second, 0)
			waits = append(waits, time.Until(b.next))
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			if w := waits[i]; w < want*time.Second || w > want*time.Second*12/10 {
				t.Errorf("wait %d: %v, want %d s and up to a fifth more", i, w, want)
			}
		}
		if b.failed(m, time.Second, time.Minute, 10*time.Minute); time.Until(b.next) < 10*time.Minute {
			t.Error("Retry-After is not obeyed")
		}
		if b.ok(); !b.due() || b.fails != 0 {
			t.Error("a success does not reset")
		}
	})
}

// The fuse lets max(5, a quarter of the inventory) go in ten minutes, then latches.
func TestFuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for inventory, want := range map[int]int{0: 5, 20: 5, 40: 10} {
			m, f := bare(), fuse{}
			n := 0
			for f.allow(t.Context(), m, "orga_one", inventory) {
				n++
			}
			if n != want {
				t.Errorf("inventory %d: %d destructions allowed, want %d", inventory, n, want)
			}
			time.Sleep(fuseWindow)
			if f.allow(t.Context(), m, "orga_one", inventory) || f.text() == "" {
				t.Error("the fuse does not latch")
			}
		}
		m, slow := bare(), fuse{}
		for range 20 {
			if !slow.allow(t.Context(), m, "orga_one", 0) {
				t.Fatal("one destruction every three minutes blows the fuse")
			}
			time.Sleep(3 * time.Minute)
		}
	})
}

// One organisation's fuse is its own: what it used up alone makes others wait, what several
// used up stops all. The ledger keeps which it was, and a release mends all of them.
func TestFuseOfOrganisations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := bare(), fuse{}
		use := func(tenant string) bool { return f.allow(t.Context(), m, tenant, 0) }
		for range fuseLeast {
			use("a")
		}
		if use("b") || f.text() != "" {
			t.Errorf("b meets what a used up: %q", f.text())
		}
		if use("a") || f.stops("a") == "" || f.stops("b") != "" {
			t.Errorf("a wants a sixth: %q", f.text())
		}
		time.Sleep(fuseWindow)
		for range fuseLeast - 1 {
			use("b")
		}
		if !use("c/ d") || use("b") || f.stops("e") == "" {
			t.Errorf("two used it up: %q", f.text())
		}
		var next fuse
		next.load(map[string]string{fuseRecentKey: joinPassages(f.recent), fuseKey: f.meta()[fuseKey], fuseKey + " a": f.meta()[fuseKey+" a"]})
		if next.text() != f.text() || next.recent[fuseLeast-1].tenant != "c/ d" {
			t.Errorf("the next life reads %q, %v", next.text(), next.recent)
		}
		next = fuse{}
		if next.load(f.whole()); next.text() != "" || len(next.recent) != 0 {
			t.Errorf("released, the next life reads %+v", next)
		}
	})
}

// The wall clock is compared with the time that passes: small steps and slow drifts are
// none of its business, a jump either way is.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by := time.Duration(0)
		c := newClock(func() time.Time { return time.Now().Add(by) })
		for _, step := range []struct{ passes, set, want time.Duration }{
			{time.Hour, 0, 0},
			{time.Second, jumpLimit, 0},
			{time.Minute, -jumpLimit, 0},
			{24 * time.Hour, time.Second, 0},
			{time.Second, time.Hour, time.Hour},
			{time.Second, 0, 0},
			{time.Minute, -2 * time.Hour, -2 * time.Hour},
		} {
			time.Sleep(step.passes)
			by += step.set
			if got := c.jumped(); got != step.want {
				t.Errorf("after %v, set by %v: jumped by %v, want %v", step.passes, step.set, got, step.want)
			}
		}
		m := bare()
		m.clock = newClock(func() time.Time { return time.Now().Add(by) })
		m.watchClock(t.Context())
		by += time.Hour
		if m.watchClock(t.Context()); m.fuse.stops("orga_one") != "the wall clock jumped by 1h0m0s" {
			t.Errorf("the fuse says %q", m.fuse.text())
		}
	})
}

// Limits go by the time that passes, not by the wall clock: what they count from has a
// monotonic reading, whether it was recorded by this process or an earlier one, or shown by a cloud.
func TestLimitsAreMeasured(t *testing.T) {
	now := time.Now()
	read := func(before time.Duration) time.Time { return now.Add(-before).Round(0) } // as the ledger gives it
	snap := store.Snapshot{
		Jobs:      []fleet.Job{{AcquiredAt: read(time.Hour), CancelAt: read(-time.Hour)}},
		Instances: []fleet.Instance{{StartedAt: read(time.Minute)}},
	}
	if !measureAll(&snap, now) {
		t.Error("a time that is still to come is not noticed")
	}
	j, vm := snap.Jobs[0], snap.Instances[0]
	made := (&stranger{runner: &runner{prov: nowhere{}}, seen: cloud.Sighting{CreatedAt: read(time.Minute)}}).instance(fleet.InstanceDeleting)
	var f fuse
	f.load(map[string]string{fuseRecentKey: joinPassages([]passage{{now, "orga_one"}})})
	for what, got := range map[string]time.Time{
		"stamp": stamp(), "acquired": j.AcquiredAt, "canceled": j.CancelAt, "started": vm.StartedAt, "made": made.CreatedAt, "allowed": f.recent[0].at,
	} {
		if !strings.Contains(got.String(), " m=") {
			t.Errorf("%s: %s goes by the wall clock", what, got)
		}
	}
	if got := now.Sub(j.AcquiredAt); got != time.Hour {
		t.Errorf("acquired %s ago, want an hour", got)
	}
	if got := now.Sub(j.CancelAt); got != 0 || !j.LaunchingAt.IsZero() {
		t.Errorf("canceled %s ago, want now; launching %s, want never", got, j.LaunchingAt)
	}
}

// nowhere is a provisioner that has a description only.
type nowhere struct{ cloud.Provisioner }

func (nowhere) Describe() cloud.Description { return cloud.Description{} }

// Bare refusals end a job only when they can't be a broken proxy.
func TestRefusalsMeanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "https://gitlab.example"
		world := func(refusedJobs, others int, well bool) (*Manager, *job) {
			m := bare()
			m.runners = []*runner{{cfg: config.Runner{Coordinator: url}}}
			if well {
				m.runners[0].coordOK = time.Now().Add(time.Second)
			}
			var first *job
			for i := range refusedJobs + others {
				j := &job{since: time.Now(), rec: fleet.Job{JobID: fleet.JobID{Coordinator: url, ID: int64(i + 1)}, State: fleet.JobRunning, AcquiredAt: time.Now(), Timeout: time.Hour}}
				if i < refusedJobs {
					j.refused = []time.Time{time.Now()}
				}
				if i == 0 {
					first = j
				}
				m.jobs[j.rec.JobID] = j
			}
			return m, first
		}
		for _, c := range []struct {
			refused, others int
			well, want      bool
		}{
			{1, 1, false, false}, {1, 1, true, true}, {1, 9, false, false}, {1, 9, true, true}, {1, 0, false, false}, {1, 0, true, true},
			{2, 1, true, false}, {5, 0, true, false}, {5, 5, false, false}, {5, 5, true, true},
		} {
			m, j := world(c.refused, c.others, c.well)
			if got := m.refusalsMeanEnd(j); got != c.want {
				t.Errorf("%d of %d refused, coordinator well %v: %v", c.refused, c.refused+c.others, c.well, got)
			}
		}
		m, j := world(2, 0, false)
		time.Sleep(time.Hour + serverGrace + time.Second)
		if !m.refusalsMeanEnd(j) {
			t.Error("a job that the coordinator must have ended itself is never given up")
		}
		if j.rec.Timeout = 0; m.refusalsMeanEnd(j) {
			t.Error("a job whose time limit nobody told is taken for ended by the coordinator itself")
		}
	})
}

// Three refusals within a minute, and nothing but refusals, are counted together.
func TestRefusalsInARow(t *testing.T) {
	for name, c := range map[string]struct {
		apart     time.Duration
		wellAfter int // that refusal comes a good answer; 0 = after none
		want      fleet.JobState
	}{
		"in a row":    {15 * time.Second, 0, fleet.JobFinished},
		"far apart":   {31 * time.Second, 0, fleet.JobRunning},
		"good answer": {15 * time.Second, 2, fleet.JobRunning},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const url = "https://gitlab.example"
				m := bare()
				r := &runner{cfg: config.Runner{Coordinator: url}}
				m.runners = []*runner{r}
				j := &job{runner: r, since: time.Now(), rec: fleet.Job{JobID: fleet.JobID{Coordinator: url, ID: 1}, State: fleet.JobRunning, AcquiredAt: time.Now(), Timeout: time.Hour}}
				m.jobs[j.rec.JobID] = j
				for n := range refusals {
					time.Sleep(c.apart)
					r.coordOK = time.Now() // it answers others well all the time
					m.countRefusal(t.Context(), j)
					if n+1 == c.wellAfter {
						m.statusAnswered(t.Context(), j, "running")
					}
				}
				if j.rec.State != c.want {
					t.Errorf("the job is %s, want %s", j.rec.State, c.want)
				}
			})
		})
	}
}

// A good answer to a sign of life that does not name the job's status may be a proxy's: it
// proves neither that the coordinator is well nor that the job goes on.
func TestNamelessAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := bare(), &runner{}
		j := &job{runner: r, refused: []time.Time{time.Now()}, rec: fleet.Job{State: fleet.JobWaiting}}
		sign := coordinator.Update{State: coordinator.StateRunning}
		m.updated(t.Context(), j, sign, coordinator.Answer{Status: 200}, nil)
		if !r.coordOK.IsZero() || len(j.refused) != 1 || j.status.due() {
			t.Errorf("coordinator well since %v, refusals %v, asked again at once %v", r.coordOK, j.refused, j.status.due())
		}
		m.updated(t.Context(), j, sign, coordinator.Answer{Status: 200, JobStatus: "running"}, nil)
		if r.coordOK.IsZero() || len(j.refused) != 0 {
			t.Errorf("coordinator well since %v, refusals %v", r.coordOK, j.refused)
		}
	})
}

// After a start, a job whose cloud is about to be listed stands in the way of acquiring more,
// as any that waits; for ten seconds, since a cloud that can't be listed is in nobody else's way.
func TestUnseenJobIsUnplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bare()
		j := &job{runner: &runner{prov: nowhere{}}, since: time.Now(), rec: fleet.Job{JobID: fleet.JobID{ID: 1}, State: fleet.JobWaiting}}
		m.jobs[j.rec.JobID] = j
		time.Sleep(time.Hour)
		m.attended = time.Now()
		if n := len(m.unplaced()); n != 1 {
			t.Errorf("%d jobs are not placed right after a start, want 1", n)
		}
		time.Sleep(unsizedFor)
		if n := len(m.unplaced()); n != 0 {
			t.Errorf("%d jobs are not placed ten seconds later, want none", n)
		}
	})
}

func TestTextsAreHarmless(t *testing.T) {
	nasty := "a\nb\x1b[31mc\rd\u202ee\x00f\tg"
	line := failureLine(nasty)
	if strings.Count(line, "\n") != 1 || strings.Count(line, "\x1b") != 2 || strings.ContainsAny(line, "\r\x00\u202e") {
		t.Errorf("control characters get through: %q", line)
	}
	rec := fleet.Job{}
	say(&runner{cfg: config.Runner{SubRunner: modeExec}}, &rec, "x")
	if rec.Prefix != "" {
		t.Error("a line was written before a sub-runner whose offset can't be shifted")
	}
	rec.PrefixFrozen = true
	say(&runner{cfg: config.Runner{SubRunner: modeRelay}}, &rec, "x")
	if rec.Prefix != "" {
		t.Error("a frozen prefix grew")
	}
}

// A clock that was set back since must not keep an old allowance used up until then.
func TestAllowanceOfTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := bare(), fuse{}
		var old []passage
		for range fuseLeast {
			old = append(old, passage{time.Now().AddDate(1, 0, 0), "orga_one"})
		}
		f.load(map[string]string{fuseRecentKey: joinPassages(old)})
		time.Sleep(fuseWindow)
		if !f.allow(t.Context(), m, "orga_one", 0) {
			t.Errorf("what went before the clock was set back is counted for a year: %q", f.text())
		}
	})
}

// A fuse that blew while the ledger could not be written is in it once it can be.
func TestFuseIsSavedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &keeper{full: true}
		m := bare()
		m.deps.Ledger = kept
		m.fuse.blow(t.Context(), m, "orga_one", "for this test")
		kept.full = false
		time.Sleep(time.Minute)
		if !m.repair(t.Context()) || kept.meta["fuse orga_one"] != "for this test" {
			t.Errorf("the ledger holds %q", kept.meta)
		}
	})
}

// keeper is a ledger of which the meta data counts, on a disk that may be full.
type keeper struct {
	Ledger
	full bool
	meta map[string]string
}

func (k *keeper) Commit(_ context.Context, change store.Change) error {
	if k.full {
		return store.ErrFull
	}
	k.meta = change.Meta
	return nil
}
