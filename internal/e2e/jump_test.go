// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"heptapod-paas-runner/internal/fleet"
)

// The clock of a bubble can't be set. What a service whose wall clock jumps would notice is
// made otherwise: its watch of the clock reads one that is ahead or behind, the dates that the
// cloud shows move the other way, and so do, for the next life, the times in the ledger that
// were recorded before. Nothing else may look at the wall clock; a test of package manager
// holds that.

// jump is a wall clock that was set while the service ran.
type jump struct {
	at time.Time
	by time.Duration
}

// noticed is how far the wall clock must jump for the fuse of I4 to blow.
const noticed = 5 * time.Minute

// drawJump lets the wall clock jump.
func drawJump(t *rapid.T) deed {
	by := rapid.SampledFrom([]time.Duration{
		-3 * time.Hour, -time.Hour, -7 * time.Minute, -2 * time.Minute, 2 * time.Minute, 7 * time.Minute, time.Hour, 3 * time.Hour,
	}).Draw(t, "by")
	return deed{at: within(t, 8*time.Minute, "at"), name: "the clock jumps: by " + by.String(), jump: true, do: func(w *world) { w.jump(by) }}
}

// jump sets the wall clock of the running service.
func (w *world) jump(by time.Duration) {
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	w.skew.Add(int64(by))
	w.jumps = append(w.jumps, jump{time.Now(), by})
	if w.life == nil || time.Since(w.life.begun) < time.Second {
		return
	}
	w.book.jumps(by)
	if by.Abs() <= noticed {
		return
	}
	known := map[string]bool{}
	for _, app := range w.clever.Applications() {
		if _, ok, err := w.life.store.Instance(w.t.Context(), app.Name); ok || err != nil {
			known[app.ID] = true
		}
	}
	w.watch.mu.Lock()
	defer w.watch.mu.Unlock()
	w.watch.jumped = known
}

// wall is the wall clock of the service.
func (w *world) wall() time.Time {
	w.thaw()
	return time.Now().Add(time.Duration(w.skew.Load()))
}

// settleJumps moves the times that were recorded before the clock was set, before the next
// life reads them. A life that ended before it had written down that the clock jumped leaves
// a next one that can't know.
func (w *world) settleJumps() {
	w.lifeMu.Lock()
	jumps := w.jumps
	w.jumps = nil
	w.lifeMu.Unlock()
	for _, j := range jumps {
		w.moveTimes(j.by, j.at)
	}
}

// shift sets the clock between two lives.
func (w *world) shift(by time.Duration) {
	w.skew.Add(int64(by))
	w.moveTimes(by, time.Now())
}

// moveTimes moves all times in the ledger that are older than one.
func (w *world) moveTimes(by time.Duration, before time.Time) {
	w.book.shifts()
	if _, err := os.Stat(w.cfg.StateFile); errors.Is(err, fs.ErrNotExist) {
		return
	}
	db, err := sql.Open("sqlite", w.cfg.StateFile)
	if err != nil {
		w.t.Fatal(err)
	}
	for table, columns := range map[string][]string{
		"jobs":      {"acquired_at", "launching_at", "starting_at", "running_at", "finished_at", "closed_at", "cancel_at"},
		"instances": {"intended_at", "created_at", "started_at", "deleting_at", "gone_at"},
	} {
		for _, c := range columns {
			move := fmt.Sprintf("UPDATE %s SET %s = %s - %d WHERE %s > 0 AND %s < %d", table, c, c, by.Microseconds(), c, c, before.UnixMicro())
			if _, err := db.ExecContext(w.t.Context(), move); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// forgetsJump ends the watch for what a blown fuse forbids, when the new life can't know that
// it was blown.
func (c *watcher) forgetsJump(meta map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if meta["fuse"] == "" {
		c.jumped = nil
	}
}

// checkJumped holds the fuse of I4 after the clock has jumped: what existed then and stood in
// no record is not destroyed, unless its job was adopted and has ended.
func (c *watcher) checkJumped(path string) {
	c.mu.Lock()
	known := c.jumped
	c.mu.Unlock()
	if known == nil {
		return
	}
	for _, app := range c.w.clever.Applications() {
		if !strings.HasSuffix(path, "/"+app.ID) || known[app.ID] || app.State == "deleted" {
			continue
		}
		rec, ok, err := c.ledger.Load().Instance(c.w.t.Context(), app.Name)
		if err != nil || ok && c.hasJob(rec) {
			continue
		}
		c.fault("I4: %s is destroyed though it stood in no record when the clock jumped", app.Name)
	}
}

func (c *watcher) hasJob(rec fleet.Instance) bool {
	_, ok, err := c.ledger.Load().Job(c.w.t.Context(), rec.Job)
	return ok || err != nil
}

var creation = regexp.MustCompile(`"creationDate":(\d{13})`)

// askew shows what the cloud says of applications to a service whose clock is wrong.
func (w *world) askew(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		by := w.skew.Load() / int64(time.Millisecond)
		if by == 0 || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/applications") {
			next.ServeHTTP(rw, r)
			return
		}
		got := perform(r, next)
		body := creation.ReplaceAllStringFunc(got.Body.String(), func(text string) string {
			at, err := strconv.ParseInt(creation.FindStringSubmatch(text)[1], 10, 64)
			if err != nil {
				return text
			}
			return fmt.Sprintf(`"creationDate":%d`, at-by)
		})
		write(rw, got.Code, body)
	})
}

// A wall clock that jumps while the service runs ends no job early and keeps what stands in
// no record from being destroyed, across a restart too, until somebody has looked.
func TestClockJumpsWhileItRuns(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{-time.Hour, 7 * time.Minute, 3 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { clockJumps(t, by) })
		})
	}
}

func clockJumps(t *testing.T, by time.Duration) {
	w := newWorld(t, 11)
	defer w.close()
	w.plain()
	w.begin("")
	time.Sleep(90 * time.Second)
	w.plant(12) // they are too young to go
	time.Sleep(30 * time.Second)
	w.jump(by)
	time.Sleep(15 * time.Minute)
	w.end()
	w.begin("")
	time.Sleep(15 * time.Minute)
	if left := w.plantedLeft(); left != 12 {
		t.Errorf("by %s: %d of 12 instances in no record are left", by, left)
	}
	w.release()
	time.Sleep(4 * time.Hour) // the clock may have been set back by so much
	if left := w.plantedLeft(); left == 12 {
		t.Errorf("by %s: none is destroyed after the fuse was released", by)
	}
	w.clear()
	if !w.quiet(patience) {
		t.Errorf("by %s: not quiet: %+v", by, w.life.manager.Status())
	}
	w.report()
	w.end()
}

// plantedLeft counts the planted applications that are still there.
func (w *world) plantedLeft() int {
	n := 0
	for _, app := range w.clever.Applications() {
		if w.isPlanted(app.Name) && app.State != "deleted" {
			n++
		}
	}
	return n
}

// A clock that was set by hours between two lives, either way, ends no job that runs: how old
// it is tells its coordinator. Neither does something that refuses everything meanwhile.
func TestClockIsSetBetweenTwoLives(t *testing.T) {
	for _, by := range []time.Duration{3 * time.Hour, -3 * time.Hour, 365 * 24 * time.Hour} {
		for _, refused := range []bool{false, true} {
			t.Run(fmt.Sprint(by, refused), func(t *testing.T) {
				run(t, func(w *world) {
					w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 1500, "timeout": 1800}, "success")
					w.begin("")
					time.Sleep(3 * time.Minute)
					w.end()
					w.shift(by)
					w.refuse.Store(refused)
					w.begin("")
					time.Sleep(5 * time.Minute)
					w.refuse.Store(false)
					time.Sleep(5 * time.Minute)
				}, func(w *world) {
					j := w.simJobs()[0]
					if j.Status != "success" || w.took(j.ID) < 1500*time.Second {
						t.Errorf("the job is %s after %s:\n%s", j.Status, w.took(j.ID), j.Trace)
					}
				})
			})
		}
	}
}
