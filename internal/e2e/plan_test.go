// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"heptapod-paas-runner/internal/fleet"
)

// plan is one random history: what users, clouds and operators do, and when. It is drawn
// whole before it is played, so that a seed stands for it, and a part of it can be left
// out to see whether that part matters.
type plan struct {
	layout layout
	jobs   []planned
	deeds  []deed
	deaths []death
}

// layout is the shape of a world.
type layout struct {
	tenants      bool   // one organisation for each top-level group
	second       string // another runner: of the same coordinator, of "another" one, or none
	exec         bool   // the sub-runner mode exec-fetched-job
	strict       bool
	limit        int
	concurrent   int
	provisioning int
	reference    int // jobs of flavor M at once
	between      time.Duration
	parked       time.Duration
	keep         string // what is left standing: "all" that has ended, launches that "failed", or nothing
	crowd        bool   // a dozen applications of others stand in the organisation
	overseen     bool   // the service has a token that may see its runner
	burst        bool   // all jobs come at once
}

type planned struct {
	at     time.Duration
	second bool // at the second coordinator, if there is one
	body   map[string]any
	cancel time.Duration // after queuing; 0 = never
	want   string        // how it ends when nothing is in the way
}

// deed is something that happens to the world at a time, and perhaps ends at a later one.
type deed struct {
	at    time.Duration
	name  string
	do    func(w *world)
	until time.Duration // 0 = has no end
	undo  func(w *world)
	// gentle deeds change nothing in how jobs end.
	gentle bool
	// hiding deeds keep what is there out of lists; after a lost ledger it can't be known.
	hiding bool
	// jump deeds set the wall clock, which changes what the next life reads.
	jump bool
	// lenient deeds make the cloud hold more of ours than we could know of.
	lenient bool
	// bounded deeds are in the way of some calls or of one kind of instance only: what they
	// don't touch must go on as if nothing was.
	bounded bool
	// purse deeds change who pays, or with which credential.
	purse bool
	// dropped deeds let coordinators end jobs that we care for.
	dropped bool
}

// death ends a life of the service: at its n-th crash point, at the n-th that is of a kind
// it has not passed before, or by SIGTERM after a time, when the n-th point from then on may
// cut the drain.
type death struct {
	points int
	kinds  int
	term   time.Duration
	pause  time.Duration // before the next life
	forget bool          // the ledger is lost with it
	young  bool          // the next life's first lists show nothing as started
	shift  time.Duration // the clock is set by so much in between
}

// plans draws plans. rapid.Generator.Example gives the same one for the same seed.
func plans() *rapid.Generator[plan] {
	return rapid.Custom(func(t *rapid.T) plan {
		var p plan
		p.layout = drawLayout(t)
		for range evenly(t, 1, 6, "jobs") {
			p.jobs = append(p.jobs, drawJob(t, p.layout))
		}
		mild := oneIn(t, 3, "mild")
		for range rapid.IntRange(0, 6).Draw(t, "deeds") {
			if mild {
				p.deeds = append(p.deeds, drawMild(t))
				continue
			}
			p.deeds = append(p.deeds, drawDeed(t))
		}
		for range rapid.IntRange(0, 5).Draw(t, "deaths") {
			p.deaths = append(p.deaths, drawDeath(t, mild))
		}
		p.apart()
		slices.SortStableFunc(p.deeds, func(a, b deed) int { return int(a.at - b.at) })
		slices.SortStableFunc(p.jobs, func(a, b planned) int { return int(a.at - b.at) })
		return p
	})
}

// apart gives everything an instant of its own, so that nothing depends on which of two
// goroutines wakes first.
func (p *plan) apart() {
	instant := time.Duration(0)
	next := func() time.Duration {
		instant += 1013 * time.Microsecond
		return instant
	}
	for i := range p.jobs {
		p.jobs[i].at += next()
		if p.jobs[i].cancel > 0 {
			p.jobs[i].cancel += next()
		}
	}
	for i := range p.deeds {
		p.deeds[i].at += next()
		if p.deeds[i].undo != nil {
			p.deeds[i].until += next()
		}
	}
}

// within draws a time up to d, at a millisecond of its own.
func within(t *rapid.T, d time.Duration, label string) time.Duration {
	return time.Duration(evenly(t, 0, int(d/time.Millisecond), label)) * time.Millisecond
}

// evenly draws a number of which each is as likely as any other: what rapid draws is small, as a
// rule, and most would happen before anything has begun.
func evenly(t *rapid.T, from, to int, label string) int {
	bits := rapid.SliceOfN(rapid.Bool(), 20, 20).Draw(t, label)
	n := 0
	for _, bit := range bits {
		n *= 2
		if bit {
			n++
		}
	}
	return from + int(int64(n)*int64(to-from+1)>>20)
}

// oneIn draws true once in n times.
func oneIn(t *rapid.T, n int, label string) bool {
	return rapid.IntRange(1, n).Draw(t, label) == n
}

func drawLayout(t *rapid.T) layout {
	return layout{
		tenants:      oneIn(t, 3, "tenants"),
		second:       rapid.SampledFrom([]string{"", "same", "another"}).Draw(t, "second runner"),
		exec:         oneIn(t, 8, "exec"),
		strict:       oneIn(t, 6, "strict"),
		limit:        rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "limit"),
		concurrent:   rapid.SampledFrom([]int{50, 50, 50, 2, 1}).Draw(t, "concurrent"),
		provisioning: rapid.SampledFrom([]int{10, 10, 2, 1}).Draw(t, "provisioning"),
		reference:    rapid.SampledFrom([]int{3, 3, 1, 6, 12}).Draw(t, "reference"),
		between:      rapid.SampledFrom([]time.Duration{0, 0, 0, 5 * time.Second, 40 * time.Second}).Draw(t, "between"),
		parked:       rapid.SampledFrom([]time.Duration{600 * time.Second, 600 * time.Second, 1800 * time.Second, 40 * time.Second}).Draw(t, "parked"),
		keep:         rapid.SampledFrom([]string{"", "", "", "", "", "", "", "all", "failed", "failed"}).Draw(t, "keep"),
		crowd:        oneIn(t, 10, "crowd"),
		overseen:     oneIn(t, 6, "overseen"),
		burst:        rapid.Bool().Draw(t, "burst"),
	}
}

func drawJob(t *rapid.T, l layout) planned {
	script := rapid.SampledFrom([]string{"echo hello", "exit 3", "false"}).Draw(t, "script")
	flavor := rapid.SampledFrom([]string{"", "XS", "S", "L", "XL", "3XL", "what"}).Draw(t, "flavor")
	body := map[string]any{
		"script": []string{script}, "virtual_seconds": evenly(t, 0, 200, "seconds"),
		"timeout": evenly(t, 600, 3600, "timeout"),
	}
	if rapid.Bool().Draw(t, "short of time") {
		body["timeout"] = evenly(t, 600, 900, "less")
	}
	if oneIn(t, 8, "long") {
		body["virtual_seconds"] = evenly(t, 200, 500, "more seconds")
	}
	j := planned{at: within(t, 5*time.Minute, "queued"), body: body, want: "failed"}
	if l.burst {
		j.at /= 100
	}
	if flavor != "" {
		body["variables"] = map[string]any{"CI_CLEVER_CLOUD_FLAVOR": flavor}
	}
	heavy := weights[flavor] > weights["M"]*fleet.Weight(l.reference)
	if script == "echo hello" && flavor != "what" && !heavy {
		j.want = "success"
	}
	if l.tenants {
		group := rapid.SampledFrom([]string{"one", "two", "one", "two", "nobody"}).Draw(t, "group")
		body["project"] = group + "/project"
		if group == "nobody" {
			j.want = "failed"
		}
	}
	j.second = l.second == "another" && rapid.Bool().Draw(t, "at the second")
	if oneIn(t, 4, "canceled") {
		j.cancel, j.want = time.Second+within(t, 3*time.Minute, "cancel"), ""
		if rapid.Bool().Draw(t, "soon") {
			j.cancel /= 10
		}
	}
	if l.parked < time.Minute || l.keep == "all" {
		j.want = "" // it may wait for too long
	}
	return j
}

func drawDeath(t *rapid.T, mild bool) death {
	d := death{points: evenly(t, 1, 150, "points"), pause: within(t, 90*time.Second, "pause")}
	switch rapid.IntRange(1, 6).Draw(t, "how") {
	case 1, 2:
		d = death{term: time.Millisecond + within(t, 3*time.Minute, "after"), pause: within(t, time.Minute, "pause")}
		if rapid.Bool().Draw(t, "cut while it drains") {
			d.points = rapid.IntRange(1, 8).Draw(t, "drain points")
		}
	case 3, 4: // most points of a life are those of polls and looks: rare ones get their turn so
		d.points, d.kinds = 0, evenly(t, 1, 70, "kinds")
	}
	if mild {
		return d
	}
	d.forget = oneIn(t, 8, "forget")
	d.young = d.forget && rapid.Bool().Draw(t, "lists lag")
	if oneIn(t, 8, "shift") {
		d.shift = rapid.SampledFrom([]time.Duration{-time.Hour, -time.Minute, time.Minute, time.Hour}).Draw(t, "by")
	}
	return d
}

// calm tells whether nothing in the plan may change how jobs end: crashes do not.
func (p plan) calm() bool {
	for _, d := range p.deeds {
		if !d.gentle && (!d.jump || len(p.deaths) > 0) {
			return false
		}
	}
	for _, d := range p.deaths {
		if d.forget || d.shift != 0 {
			return false
		}
	}
	return true
}

// describe tells a plan to people.
func (p plan) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "world    %+v\n", p.layout)
	for _, j := range p.jobs {
		fmt.Fprintf(&b, "%8s job %v", j.at.Round(time.Second), j.body)
		if j.second {
			b.WriteString(" at the second coordinator")
		}
		if j.cancel > 0 {
			fmt.Fprintf(&b, ", canceled after %s", j.cancel.Round(time.Second))
		}
		b.WriteByte('\n')
	}
	for _, d := range p.deeds {
		fmt.Fprintf(&b, "%8s %s", d.at.Round(time.Second), d.name)
		if d.undo != nil {
			fmt.Fprintf(&b, ", until %s", d.until.Round(time.Second))
		}
		b.WriteByte('\n')
	}
	for i, d := range p.deaths {
		fmt.Fprintf(&b, "life %d ends: %+v\n", i+1, d)
	}
	return b.String()
}

// size is how much there is in a plan.
func (p plan) size() int { return len(p.jobs) + len(p.deeds) + len(p.deaths) }

// without gives every plan that lacks one part of this one.
func (p plan) without() []plan {
	var out []plan
	for i := range p.deaths {
		q := p
		q.deaths = slices.Delete(slices.Clone(p.deaths), i, i+1)
		out = append(out, q)
	}
	for i := range p.deeds {
		q := p
		q.deeds = slices.Delete(slices.Clone(p.deeds), i, i+1)
		out = append(out, q)
	}
	for i := range p.jobs {
		if len(p.jobs) > 1 {
			q := p
			q.jobs = slices.Delete(slices.Clone(p.jobs), i, i+1)
			out = append(out, q)
		}
	}
	return out
}
