// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
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
	Deeds  []string `json:"deeds"` // kinds of what happened
	Wrong  []string `json:"wrong"`
	Plan   string   `json:"plan"` // what broke an invariant, made as small as it gets
	Log    string   `json:"log"`
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
	s := &summary{begun: time.Now(), runs: runs, points: map[string]bool{}, cuts: map[string]bool{}, deeds: map[string]bool{}}
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
		p := playSeed(t, first+i*step)
		line, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\n%s%s\n", playedMark, line)
		if len(p.Wrong) > 0 && os.Getenv("SIM_BREAK") != "" {
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

const playedMark = "played: "

func playSeed(t *testing.T, seed int) played {
	p := plans().Example(seed)
	h := p.play(t, uint64(seed))
	out := played{Seed: seed, Lives: len(p.deaths) + 1, Wrong: h.wrong}
	if twice() {
		out.Wrong = append(out.Wrong, p.again(t, uint64(seed), h)...)
	}
	for _, d := range p.deeds {
		kind, _, _ := strings.Cut(d.name, ":")
		out.Deeds = append(out.Deeds, kind)
	}
	for _, line := range h.trail {
		if _, name, _ := strings.Cut(line, " "); !strings.HasPrefix(name, "life ") {
			out.Points = append(out.Points, pointKind(name))
		}
	}
	for _, name := range h.cuts {
		out.Cuts = append(out.Cuts, pointKind(name))
	}
	slices.Sort(out.Points)
	out.Points = slices.Compact(out.Points)
	if len(out.Wrong) > 0 && os.Getenv("SIM_BREAK") == "" {
		small, became := p.shrink(t, uint64(seed), h)
		out.Wrong = append(out.Wrong, became.wrong...)
		out.Plan, out.Log = small.describe(), became.log
	}
	return out
}

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

// summary gathers what the workers tell.
type summary struct {
	begun time.Time
	runs  int

	mu                  sync.Mutex
	done, lives         int
	caught              bool // a broken variant was; the workers may stop
	points, cuts, deeds map[string]bool
}

// follow runs one worker and takes its lines.
func (s *summary) follow(t *testing.T, shard string) {
	self, err := os.Executable()
	if err != nil {
		t.Error(err)
		return
	}
	cmd := exec.Command(self, "-test.run=^TestSimulate$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), shardVariable+"="+shard, "GOMAXPROCS=1", "GOGC=400")
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		cmd.Env = append(cmd.Env, "TMPDIR=/dev/shm") // ledgers are synced to it thousands of times a minute
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	rest := s.read(t, out)
	if s.isCaught() {
		_ = cmd.Process.Kill()
	}
	if err := cmd.Wait(); err != nil && !s.isCaught() {
		t.Errorf("worker %s: %v\n%s\n%s", shard, err, rest, &complaints)
	}
}

// read takes the lines of a worker; what is no report of a run is given back.
func (s *summary) read(t *testing.T, out io.Reader) string {
	var rest strings.Builder
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), playedMark)
		if !ok {
			rest.WriteString(lines.Text() + "\n")
			continue
		}
		var p played
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Errorf("worker: %v", err)
			continue
		}
		s.take(t, p)
		if s.isCaught() {
			return ""
		}
	}
	return rest.String()
}

func (s *summary) isCaught() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.caught
}

func (s *summary) take(t *testing.T, p played) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.lives += p.Lives
	for set, names := range map[*map[string]bool][]string{&s.points: p.Points, &s.cuts: p.Cuts, &s.deeds: p.Deeds} {
		for _, name := range names {
			(*set)[name] = true
		}
	}
	if name := os.Getenv("SIM_BREAK"); name != "" && len(p.Wrong) > 0 {
		if !s.caught {
			t.Errorf("%s caught after %d runs, seed %d: %s", name, s.done, p.Seed, p.Wrong[0])
		}
		s.caught = true
		return
	}
	if len(p.Wrong) > 0 {
		t.Errorf("seed %d:\n%s\nto repeat it: make simulate SEED=%d RUNS=1\nwhat is needed of its plan:\n%s\nthe service's log:\n%s",
			p.Seed, strings.Join(p.Wrong, "\n"), p.Seed, p.Plan, p.Log)
	}
	if s.done%200 == 0 || s.done == s.runs {
		fmt.Fprintf(os.Stderr, "%d of %d runs with %d lives, %.0f runs a minute; cut at %d of %d kinds of crash points; %d kinds of mishaps and deeds\n",
			s.done, s.runs, s.lives, float64(s.done)/time.Since(s.begun).Minutes(), len(s.cuts), len(s.points), len(s.deeds))
	}
	if s.done == s.runs && os.Getenv("VERBOSE") == "1" {
		fmt.Fprintf(os.Stderr, "never cut at: %s\n", strings.Join(slices.DeleteFunc(slices.Sorted(maps.Keys(s.points)), func(n string) bool { return s.cuts[n] }), "\n  "))
		fmt.Fprintf(os.Stderr, "mishaps and deeds: %s\n", strings.Join(slices.Sorted(maps.Keys(s.deeds)), ", "))
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
