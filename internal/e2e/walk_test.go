// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// walked are the jobs that every crash schedule runs: one that succeeds, one that has to
// wait for room, one that is refused, one that is canceled while its instance is made.
func (w *world) walked() {
	w.queue(map[string]any{"script": []string{"echo hello"}, "virtual_seconds": 40}, "success")
	w.queue(map[string]any{"script": []string{"exit 3"}, "virtual_seconds": 5, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"}}, "failed")
	w.queue(map[string]any{"script": []string{"true"}, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XXL"}}, "failed")
	canceled := w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "canceled", "success")
	id := canceled.id
	w.done.Go(func() {
		time.Sleep(12 * time.Second)
		w.cancel(id)
	})
}

// once runs a whole schedule: lives that are cut as told, a last one that is not, and the
// check when all is quiet. It gives the history.
func once(t *testing.T, seed uint64, jobs func(*world), fates ...*fate) (trail []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer w.close()
		jobs(w)
		for _, f := range fates {
			w.beginFate(f)
			w.untilCut(patience)
			w.end()
			time.Sleep(3 * time.Second)
		}
		w.begin("")
		if !w.quiet(patience) {
			t.Errorf("not quiet: %+v", w.life.manager.Status())
		}
		w.report()
		w.end()
		trail = w.story.trail()
	})
	return trail
}

// untilCut waits for the life's end, or until all is quiet without it.
func (w *world) untilCut(limit time.Duration) {
	for begun := time.Now(); time.Since(begun) < limit; {
		select {
		case <-w.life.ended:
			return
		case <-time.After(5 * time.Second):
		}
		if w.isQuiet() {
			return
		}
	}
}

var (
	occurrence = regexp.MustCompile(`#(\d+)$`)
	jobNumber  = regexp.MustCompile(`\b1000\d\d\b`)
)

// points picks the crash points of a history that are worth a schedule of their own:
// each name at its first two occurrences (a poll is like every other poll).
func points(trail []string) []string {
	var out []string
	for _, line := range trail {
		_, name, ok := strings.Cut(line, " ")
		if n := occurrence.FindStringSubmatch(name); ok && n != nil && (n[1] == "1" || n[1] == "2") {
			out = append(out, name)
		}
	}
	return out
}

// The power is cut at every commit, and before and after the effect of every outside
// call; each time the service is started again, and the invariants are checked.
func TestCrashWalk(t *testing.T) {
	all := points(once(t, 7, (*world).walked))
	if len(all) < 100 {
		t.Fatalf("only %d crash points: %q", len(all), all)
	}
	step := 1
	if testing.Short() {
		step = 10
	}
	cut := 0
	for i := 0; i < len(all); i += step {
		cut++
		t.Run(all[i], func(t *testing.T) {
			t.Parallel()
			once(t, 7, (*world).walked, &fate{target: all[i]})
		})
	}
	t.Logf("%d of %d crash points", cut, len(all))
}

// Several crashes in a row, at points that a generator picks: a crash while the service
// recovers from a crash.
func TestSeveralCrashes(t *testing.T) {
	schedules := 40
	if testing.Short() {
		schedules = 4
	}
	for seed := range uint64(schedules) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			var fates []*fate
			for range 2 + rng.IntN(4) {
				fates = append(fates, &fate{after: 1 + rng.IntN(80)})
			}
			once(t, seed, (*world).walked, fates...)
		})
	}
}

// A history is a function of its seed.
func TestHistoryFollowsFromSeed(t *testing.T) {
	for seed := range uint64(5) {
		cut := func() []*fate { return []*fate{{after: 30 + 11*int(seed)}, {after: 25}} }
		first := once(t, seed, (*world).walked, cut()...)
		second := once(t, seed, (*world).walked, cut()...)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("seed %d gave two histories (-first +second):\n%s", seed, diff)
		}
		other := once(t, seed+1000, (*world).walked, cut()...)
		if slices.Equal(first, other) {
			t.Errorf("seeds %d and %d gave the same history", seed, seed+1000)
		}
	}
}
