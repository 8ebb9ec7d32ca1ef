// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The simulation is this test, compiled to a program called simulate, which takes SEED
// and RUNS from the environment.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "simulate" && len(os.Args) == 1 {
		os.Args = append(os.Args, "-test.run=^TestSimulate$", "-test.timeout=0")
	}
	os.Exit(m.Run())
}

// shardVariable tells a worker which seeds are its own: "first step runs".
const shardVariable = "SIMULATE_SHARD"

// played is what a worker tells of one run, as a line of JSON.
type played struct {
	Seed   int      `json:"seed"`
	Points []string `json:"points"` // kinds of crash points passed
	Cuts   []string `json:"cuts"`   // kinds at which a life was cut
	Lives  int      `json:"lives"`
	Deeds  []string `json:"deeds"`  // kinds of what happened
	Struck []string `json:"struck"` // which mishap befell which call
	Wrong  []string `json:"wrong"`
	Plan   string   `json:"plan"`  // what broke an invariant, made as small as it gets
	Still  []string `json:"still"` // what that breaks
	Story  string   `json:"story"` // and how
}

// Random plans, each from its seed, played by one process for each core: a bubble's
// goroutines take turns, so that a second core only makes them wait for each other. SEED
// is the first one and RUNS how many; `make simulate` sets them. With TWICE=1, and without
// RUNS, each plan is played twice and the histories are compared.
func TestSimulate(t *testing.T) {
	if shard := os.Getenv(shardVariable); shard != "" {
		work(t, shard)
		return
	}
	first, runs := number(t, "SEED", 1), number(t, "RUNS", 100)
	if testing.Short() {
		runs = min(runs, 10)
	}
	checkBreak(t)
	s := &summary{begun: time.Now(), runs: runs, points: map[string]bool{}, cuts: map[string]bool{}, deeds: map[string]bool{}, struck: map[string]bool{}}
	workers := min(runtime.NumCPU(), runs)
	var group sync.WaitGroup
	for k := range workers {
		share := (runs - k + workers - 1) / workers
		group.Go(func() { s.follow(t, fmt.Sprintf("%d %d %d", first+k, workers, share)) })
	}
	group.Wait()
	if s.done != runs && !s.caught {
		t.Errorf("%d of %d runs were played", s.done, runs)
	}
}

// work plays the seeds of a shard and prints what became of each.
func work(t *testing.T, shard string) {
	var first, step, runs int
	if _, err := fmt.Sscan(shard, &first, &step, &runs); err != nil {
		t.Fatalf("%s=%q: %v", shardVariable, shard, err)
	}
	for i := range runs {
		fmt.Printf("\n%s%d\n", playingMark, first+i*step)
		p := playSeed(t, first+i*step)
		line, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\n%s%s\n", playedMark, line)
		if len(p.Wrong) > 0 && onlyCatch() {
			return // the variant is caught: that is all there is to learn
		}
	}
}

// breakable names the broken variants that are built in, with commas between: see package
// broken. `make simulate` sets it.
var breakable string

func checkBreak(t *testing.T) {
	name := os.Getenv("SIM_BREAK")
	if name != "" && !slices.Contains(strings.Split(breakable, ","), name) {
		t.Fatalf("SIM_BREAK=%q: found no such variant in this build; make simulate builds with %q", name, breakable)
	}
}

const (
	playingMark = "playing: " // and the seed, before it is played
	playedMark  = "played: "
)

func playSeed(t *testing.T, seed int) played {
	p := plans().Example(seed)
	h := p.play(t, uint64(seed))
	out := played{Seed: seed, Lives: len(p.deaths) + 1, Struck: h.struck, Wrong: h.wrong}
	if twice() {
		out.Wrong = append(out.Wrong, p.again(t, uint64(seed), h)...)
	}
	for _, d := range p.deeds {
		kind, _, _ := strings.Cut(d.name, ":")
		out.Deeds = append(out.Deeds, kind)
	}
	names := map[string]bool{}
	for _, line := range h.trail {
		if _, name, _ := strings.Cut(line, " "); !strings.HasPrefix(name, "-- ") {
			names[name[:strings.LastIndexByte(name, '#')]] = true
		}
	}
	for name := range names {
		out.Points = append(out.Points, pointKind(name))
	}
	for _, name := range h.cuts {
		out.Cuts = append(out.Cuts, pointKind(name))
	}
	slices.Sort(out.Points)
	out.Points = slices.Compact(out.Points)
	if len(h.wrong) > 0 && !onlyCatch() && os.Getenv("SHRINK") != "0" {
		small, became := p.shrink(t, uint64(seed), h)
		out.Plan, out.Still, out.Story = small.describe(), became.wrong, became.story
	}
	return out
}

// onlyCatch tells whether nothing is to be learned of a broken variant but that it is
// caught: unless just one plan is played.
func onlyCatch() bool { return os.Getenv("SIM_BREAK") != "" && os.Getenv("RUNS") != "1" }

// again plays a plan a second time and compares the histories.
func (p plan) again(t *testing.T, seed uint64, h history) []string {
	next := p.play(t, seed)
	if slices.Equal(h.trail, next.trail) {
		return nil
	}
	return []string{"the same seed gives another history: " + firstDifference(h.trail, next.trail)}
}

// twice tells whether each plan is played twice: when asked for, and in the suite.
func twice() bool { return os.Getenv("TWICE") == "1" || os.Getenv("RUNS") == "" }

// pointKind is a crash point's name without what differs from job to job.
func pointKind(name string) string {
	name = strings.Replace(occurrence.ReplaceAllString(name, ""), " by runner second", "", 1)
	return jobNumber.ReplaceAllString(name, "N")
}

// shrink leaves out of a plan what its failure does not need.
func (p plan) shrink(t *testing.T, seed uint64, h history) (plan, history) {
	for again := true; again; {
		again = false
		for _, q := range p.without() {
			if got := q.play(t, seed); len(got.wrong) > 0 {
				p, h, again = q, got, true
				break
			}
		}
	}
	return p, h
}

// firstDifference shows where two histories part, with what led there.
func firstDifference(a, b []string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	window := func(trail []string) string {
		return strings.Join(trail[min(i, len(trail)):min(i+6, len(trail))], "\n  ")
	}
	return fmt.Sprintf("at point %d, after\n  %s\nfirst\n  %s\nthen\n  %s", i, strings.Join(a[max(0, i-6):i], "\n  "), window(a), window(b))
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
