// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// plan is one random history: what users, clouds and operators do, and when. It is drawn
// whole before it is played, so that a seed stands for it.
type plan struct {
	jobs   []planned
	deeds  []deed
	deaths []death
}

type planned struct {
	at     time.Duration
	body   map[string]any
	cancel time.Duration // after queuing; 0 = never
}

// deed is something that a simulator is told at a time.
type deed struct {
	at   time.Duration
	name string
	do   func(w *world)
}

// death ends a life of the service: at its n-th crash point, or by SIGTERM after a time.
type death struct {
	points int
	term   time.Duration
	pause  time.Duration // before the next life
	forget bool          // the ledger is lost with it
}

// mishaps are the ways in which a call can go wrong.
var mishaps = map[string]map[string]any{
	"503 with HTML":   {"status": 503, "body": "<html>busy</html>"},
	"500":             {"status": 500, "body": `{"id":-500,"message":"<p>Error from provider</p>","type":"error"}`},
	"429":             {"status": 429},
	"429 Retry-After": {"status": 429, "headers": map[string]string{"Retry-After": "20"}},
	"cut before":      {"drop": "before"},
	"cut after":       {"drop": "after"},
	"slow":            {"delay": "7s"},
	"hang":            {"delay": "95s"},
	"garbage":         {"status": 200, "body": "{{{"},
	"not there":       {"status": 404, "body": "404 page not found"},
}

var cloudCalls = []string{
	"POST /v2/organisations/*/applications", "GET /v2/organisations/*/applications", "GET /v2/organisations/*/applications/*",
	"DELETE /v2/organisations/*/applications/*", "POST /git/*/git-receive-pack", "GET /git/*/info/refs", "GET /v2/products/instances",
}

var coordinatorCalls = []string{
	"POST /api/v4/jobs/request", "PUT /api/v4/jobs/*", "PATCH /api/v4/jobs/*/trace", "GET /api/v4/job",
}

func drawPlan(seed uint64) plan {
	rng := rand.New(rand.NewPCG(seed, 0x51))
	within := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	var p plan
	for range 1 + rng.IntN(6) {
		p.jobs = append(p.jobs, drawJob(rng, within))
	}
	for range rng.IntN(6) {
		p.deeds = append(p.deeds, drawMishap(rng, within))
	}
	if rng.IntN(4) == 0 {
		p.deeds = append(p.deeds, drawOutage(within)...)
	}
	for range rng.IntN(5) {
		d := death{points: 1 + rng.IntN(150), pause: within(90 * time.Second)}
		if rng.IntN(3) == 0 {
			d = death{term: within(3 * time.Minute), pause: within(time.Minute)}
		}
		d.forget = rng.IntN(15) == 0
		p.deaths = append(p.deaths, d)
	}
	slices.SortStableFunc(p.deeds, func(a, b deed) int { return int(a.at - b.at) })
	slices.SortStableFunc(p.jobs, func(a, b planned) int { return int(a.at - b.at) })
	return p
}

func drawJob(rng *rand.Rand, within func(time.Duration) time.Duration) planned {
	body := map[string]any{
		"script":          []string{[]string{"echo hello", "exit 3", "false"}[rng.IntN(3)]},
		"virtual_seconds": rng.IntN(200), "timeout": 600 + rng.IntN(3000),
	}
	if f := []string{"", "XS", "S", "L", "XL", "3XL", "what"}[rng.IntN(7)]; f != "" {
		body["variables"] = map[string]any{"CI_CLEVER_CLOUD_FLAVOR": f}
	}
	j := planned{at: within(5 * time.Minute), body: body}
	if rng.IntN(4) == 0 {
		j.cancel = time.Second + within(3*time.Minute)
	}
	return j
}

func drawMishap(rng *rand.Rand, within func(time.Duration) time.Duration) deed {
	names := make([]string, 0, len(mishaps))
	for name := range mishaps {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[rng.IntN(len(names))]
	where, calls := cleverURL, cloudCalls
	if rng.IntN(2) == 0 {
		where, calls = gitlabURL, coordinatorCalls
	}
	fault := map[string]any{"match": calls[rng.IntN(len(calls))], "times": 1 + rng.IntN(6)}
	maps.Copy(fault, mishaps[name])
	return deed{within(6 * time.Minute), fmt.Sprintf("%s: %s", name, fault["match"]), func(w *world) { w.fault(where, fault) }}
}

// drawOutage takes the coordinator away for some minutes.
func drawOutage(within func(time.Duration) time.Duration) []deed {
	at := within(4 * time.Minute)
	return []deed{
		{at, "coordinator down", func(w *world) {
			for _, call := range coordinatorCalls {
				w.fault(gitlabURL, map[string]any{"match": call, "times": 0, "status": 502})
			}
		}},
		{at + time.Minute + within(15*time.Minute), "coordinator up", func(w *world) { w.heal(gitlabURL) }},
	}
}

var ends = []string{"success", "failed", "canceled"}

// play plays a plan; it gives the history.
func (p plan) play(t *testing.T, seed uint64) (trail []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer w.close()
		for _, j := range p.jobs {
			w.done.Go(func() {
				time.Sleep(j.at)
				id := w.queue(j.body, ends...).id
				if j.cancel > 0 {
					time.Sleep(j.cancel)
					w.cancel(id)
				}
			})
		}
		for _, d := range p.deeds {
			w.done.Go(func() {
				time.Sleep(d.at)
				d.do(w)
			})
		}
		for _, d := range p.deaths {
			w.beginFate(&fate{after: d.points})
			if d.term > 0 {
				time.Sleep(d.term)
			} else {
				w.untilCut(6 * time.Minute)
			}
			w.end()
			if d.forget {
				w.lose()
			}
			time.Sleep(d.pause)
		}
		w.begin("")
		time.Sleep(22 * time.Minute) // until all that was planned has happened
		if !w.quiet(patience) {
			t.Errorf("not quiet: %+v", w.life.manager.Status())
		}
		w.report()
		w.end()
		time.Sleep(2 * time.Minute) // a call that a mishap holds may outlive its client
		trail = w.trail
	})
	return trail
}

// lose removes the ledger between two lives.
func (w *world) lose() {
	w.forgot = true
	files, err := filepath.Glob(w.cfg.StateFile + "*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			w.t.Fatal(err)
		}
	}
}

// describe tells a plan to people.
func (p plan) describe() string {
	var b strings.Builder
	for _, j := range p.jobs {
		fmt.Fprintf(&b, "%8s job %v", j.at.Round(time.Second), j.body)
		if j.cancel > 0 {
			fmt.Fprintf(&b, ", canceled after %s", j.cancel.Round(time.Second))
		}
		b.WriteByte('\n')
	}
	for _, d := range p.deeds {
		fmt.Fprintf(&b, "%8s %s\n", d.at.Round(time.Second), d.name)
	}
	for i, d := range p.deaths {
		fmt.Fprintf(&b, "life %d ends: %+v\n", i+1, d)
	}
	return b.String()
}

// Random plans, each from its seed. SEED is the first one and RUNS how many; `make
// simulate` sets them.
func TestSimulate(t *testing.T) {
	first, runs := number(t, "SEED", 1), number(t, "RUNS", 100)
	if testing.Short() {
		runs = min(runs, 10)
	}
	begun := time.Now()
	points := map[string]bool{}
	kinds := map[string]bool{}
	for seed := first; seed < first+runs; seed++ {
		p := drawPlan(uint64(seed))
		ok := t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			for _, line := range p.play(t, uint64(seed)) {
				_, name, _ := strings.Cut(line, " ")
				points[occurrence.ReplaceAllString(name, "")] = true
			}
		})
		for _, d := range p.deeds {
			kind, _, _ := strings.Cut(d.name, ":")
			kinds[kind] = true
		}
		if !ok {
			t.Logf("to repeat it: make simulate SEED=%d RUNS=1\nthe plan:\n%s", seed, p.describe())
		}
		if done := seed - first + 1; done%50 == 0 || done == runs {
			fmt.Fprintf(os.Stderr, "%d of %d runs, %.0f a minute; %d kinds of crash points, %d kinds of mishaps\n",
				done, runs, float64(done)/time.Since(begun).Minutes(), len(points), len(kinds))
		}
	}
}

func number(t *testing.T, name string, fallback int) int {
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q: want a whole number", name, text)
	}
	return n
}
