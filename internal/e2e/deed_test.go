// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// mishaps are the ways in which a call can go wrong.
func mishaps() map[string]map[string]any {
	return map[string]map[string]any{
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
}

func cloudCalls() []string {
	return []string{
		"POST /v2/organisations/*/applications", "GET /v2/organisations/*/applications", "GET /v2/organisations/*/applications/*",
		"DELETE /v2/organisations/*/applications/*", "POST /git/*/git-receive-pack", "GET /git/*/info/refs", "GET /v2/products/instances",
	}
}

func coordinatorCalls() []string {
	return []string{
		"POST /api/v4/jobs/request", "PUT /api/v4/jobs/*", "PATCH /api/v4/jobs/*/trace", "GET /api/v4/job",
		"GET /api/v4/groups/*/custom_attributes",
	}
}

// drawDeed draws something that goes wrong, or that an operator does.
func drawDeed(t *rapid.T) deed {
	return rapid.OneOf(
		rapid.Custom(drawMishap), rapid.Custom(drawMishap), rapid.Custom(drawMishap), rapid.Custom(drawMishap),
		rapid.Custom(drawOutage), rapid.Custom(drawLie), rapid.Custom(drawLie), rapid.Custom(drawFate), rapid.Custom(drawFate),
		rapid.Custom(drawOperator), rapid.Custom(drawOperator), rapid.Custom(drawReload), rapid.Custom(drawJump), rapid.Custom(drawRepeats), rapid.Custom(drawFreeze),
		rapid.Custom(drawRefusals), rapid.Custom(drawRoom), rapid.Custom(drawPurse), rapid.Custom(drawPages),
		rapid.Custom(drawPages),
	).Draw(t, "deed")
}

// drawMild draws something that is in the way of few, or of nobody: all else must go on as if
// nothing was.
func drawMild(t *rapid.T) deed {
	for {
		d := rapid.OneOf(
			rapid.Custom(drawFate), rapid.Custom(drawFate), rapid.Custom(drawOperator), rapid.Custom(drawReload), rapid.Custom(drawReload),
			rapid.Custom(drawRoom), rapid.Custom(drawRoom), rapid.Custom(drawPurse),
		).Draw(t, "mild deed")
		if d.gentle || d.bounded || d.purse {
			return d
		}
	}
}

// drawMishap lets some calls of one kind fail in one way.
func drawMishap(t *rapid.T) deed {
	ways := mishaps()
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(ways))).Draw(t, "mishap")
	cloud := rapid.Bool().Draw(t, "of the cloud")
	calls := coordinatorCalls()
	if cloud {
		calls = cloudCalls()
	}
	fault := map[string]any{"match": rapid.SampledFrom(calls).Draw(t, "call"), "times": rapid.IntRange(1, 6).Draw(t, "times")}
	maps.Copy(fault, ways[name])
	return deed{at: within(t, 6*time.Minute, "at"), name: fmt.Sprintf("%s: %s", name, fault["match"]), do: func(w *world) {
		if cloud {
			w.mishap(cleverURL, name, fault)
			return
		}
		for _, place := range w.places {
			w.mishap(place, name, fault)
		}
	}}
}

// mishap asks a server to fail, under a name.
func (w *world) mishap(place, name string, fault map[string]any) {
	var made struct {
		ID int `json:"id"`
	}
	w.control("POST", place+"/_sim/faults", fault, &made)
	w.logMu.Lock()
	defer w.logMu.Unlock()
	w.armed[fmt.Sprint(place, made.ID)] = fmt.Sprintf("%s: %s", name, fault["match"])
}

// countStruck notes which mishaps of a server befell a call.
func (w *world) countStruck(place string) {
	var faults []struct {
		ID    int  `json:"id"`
		Times *int `json:"times"`
		Left  *int `json:"left"`
	}
	w.control("GET", place+"/_sim/faults", nil, &faults)
	w.logMu.Lock()
	defer w.logMu.Unlock()
	for _, f := range faults {
		if name := w.armed[fmt.Sprint(place, f.ID)]; name != "" && f.Left != nil && *f.Left < *f.Times {
			w.struck[name] = true
		}
	}
}

func (w *world) allStruck() []string {
	for _, place := range append(slices.Clone(w.places), cleverURL) {
		w.countStruck(place)
	}
	return slices.Sorted(maps.Keys(w.struck))
}

// drawOutage takes the coordinators away for some minutes, or for an hour, or puts a
// proxy before them that answers 401 to all that the service asks.
func drawOutage(t *rapid.T) deed {
	at := within(t, 4*time.Minute, "at")
	long := time.Minute + within(t, 15*time.Minute, "for")
	if oneIn(t, 6, "an hour") {
		long = time.Hour
	}
	if rapid.Bool().Draw(t, "a proxy") {
		return deed{
			at: at, name: "401 proxy: for " + long.Round(time.Second).String(), do: func(w *world) { w.refuse.Store(true) },
			until: at + long, undo: func(w *world) { w.refuse.Store(false) },
		}
	}
	return deed{
		at: at, name: "coordinator down: for " + long.Round(time.Second).String(), do: func(w *world) {
			for _, place := range w.places {
				for _, call := range coordinatorCalls() {
					w.fault(place, map[string]any{"match": call, "times": 0, "status": 502})
				}
			}
		},
		until: at + long, undo: func(w *world) {
			for _, place := range w.places {
				w.countStruck(place)
				w.heal(place)
			}
		},
	}
}

// drawPages puts something before a server that answers pages of its own to everything for a
// while.
func drawPages(t *rapid.T) deed {
	at, long := within(t, 5*time.Minute, "at"), 20*time.Second+within(t, 100*time.Second, "for")
	page := rapid.SampledFrom([]map[string]any{
		{"status": 404, "body": "<html>not found</html>", "headers": map[string]string{"Content-Type": "text/html"}},
		{"status": 403, "body": "<html>forbidden</html>", "headers": map[string]string{"Content-Type": "text/html"}},
		{"status": 404, "body": "404 page not found"},
		{"status": 200, "body": "please log in"},
	}).Draw(t, "page")
	cloud := rapid.Bool().Draw(t, "of the cloud")
	each := func(w *world, do func(place string, calls []string)) {
		if cloud {
			do(cleverURL, cloudCalls())
			return
		}
		for _, place := range w.places {
			do(place, coordinatorCalls())
		}
	}
	return deed{
		at: at, name: fmt.Sprintf("pages of a proxy, %d: for %s", page["status"], long.Round(time.Second)), do: func(w *world) {
			each(w, func(place string, calls []string) {
				for _, call := range calls {
					fault := map[string]any{"match": call, "times": 0}
					maps.Copy(fault, page)
					w.fault(place, fault)
				}
			})
		},
		until: at + long, undo: func(w *world) {
			each(w, func(place string, _ []string) {
				w.countStruck(place)
				w.heal(place)
			})
		},
	}
}

// drawLie makes the cloud say what is not so.
func drawLie(t *rapid.T) deed {
	at, n := within(t, 5*time.Minute, "at"), rapid.IntRange(1, 3).Draw(t, "times")
	stale := func(d time.Duration) deed {
		return deed{at: at, name: fmt.Sprintf("stale lists: for %s", d), hiding: true, lenient: d > 50*time.Second, do: func(w *world) { w.watch.lies.staleLists(d) }}
	}
	return rapid.SampledFrom([]deed{
		stale(20 * time.Second), stale(45 * time.Second), stale(5 * time.Minute),
		{at: at, name: "lists lag: nothing was started", do: func(w *world) { w.watch.lies.youngLists(2 * time.Duration(n) * time.Minute) }},
		{at: at, name: "lists take turns: old and new", hiding: true, do: func(w *world) { w.watch.lies.turns(40 * time.Second) }},
		{
			at: at, name: "quota leaked: refused for lack of room", do: func(w *world) { w.watch.lies.noRoom(http.StatusBadRequest) },
			until: at + time.Duration(4*n)*time.Minute, undo: func(w *world) { w.watch.lies.noRoom(0) },
		},
		{
			at: at, name: "quota leaked: put off for lack of room", do: func(w *world) { w.watch.lies.noRoom(http.StatusServiceUnavailable) },
			until: at + time.Duration(4*n)*time.Minute, undo: func(w *world) { w.watch.lies.noRoom(0) },
		},
		{at: at, name: "cut after: POST /git/*/git-receive-pack", do: func(w *world) {
			w.fault(cleverURL, map[string]any{"match": "POST /git/*/git-receive-pack", "drop": "after", "times": n})
		}},
		{at: at, name: "done but says 503: create", do: func(w *world) { w.watch.lies.set(sayBusy, n) }},
		{at: at, name: "done but says refused: create", lenient: true, do: func(w *world) { w.watch.lies.set(sayRefused, n) }},
		{at: at / 8, name: "done twice: create", lenient: true, do: func(w *world) { w.watch.lies.set(doTwice, 1) }},
		{at: at, name: "done twice: create", lenient: true, do: func(w *world) { w.watch.lies.set(doTwice, n) }},
		{at: at, name: ignoreDelete + ": delete", do: func(w *world) { w.watch.lies.set(ignoreDelete, 3*n) }},
		{at: at, name: ignoreDelete + ": a delete", do: func(w *world) { w.watch.lies.set(ignoreDelete, 1) }},
		{at: at / 4, name: spoilGrant + ": job request", do: func(w *world) { w.watch.lies.set(spoilGrant, n) }},
		{at: at, name: "says busy but done: delete", do: func(w *world) { w.watch.lies.set(deleteBusy, n) }},
	}).Draw(t, "lie")
}

// drawRepeats lets a proxy send some requests twice; the second answer is what is seen. It
// does not repeat what asks for a job or makes an instance: drawLie has that.
func drawRepeats(t *rapid.T) deed {
	method := rapid.SampledFrom([]string{http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodPost}).Draw(t, "method")
	n := rapid.Int32Range(1, 8).Draw(t, "times")
	return deed{at: within(t, 6*time.Minute, "at"), name: "sent twice: " + method, do: func(w *world) {
		w.repeats.method.Store(&method)
		w.repeats.left.Store(n)
	}}
}

// drawFate is what befalls instances, the ledger's disk or what the coordinator keeps.
func drawFate(t *rapid.T) deed {
	at, n := within(t, 6*time.Minute, "at"), rapid.IntRange(1, 2).Draw(t, "times")
	full := within(t, 3*time.Minute, "for")
	which := rapid.IntRange(0, 9).Draw(t, "which")
	disk := deed{
		at: at, name: "disk full: for " + full.Round(time.Second).String(), do: func(w *world) { w.full.Store(true) },
		until: at + full, undo: func(w *world) { w.full.Store(false) },
	}
	return rapid.SampledFrom([]deed{
		{at: at, name: "never boots: instance", bounded: true, do: func(w *world) { w.bench.deaf.Add(int32(n)) }},
		{at: at, name: "vanishes: instance", bounded: true, do: func(w *world) { w.vanish(which) }},
		{at: at, name: "machine dies: instance", bounded: true, do: func(w *world) { w.bench.kill(which) }},
		{at: at, name: "sub-runner dies: instance", bounded: true, do: func(w *world) { w.bench.killSubRunner(which) }},
		{at: at, name: "machine hangs: instance", bounded: true, do: func(w *world) { w.bench.hang(which) }},
		{at: at, name: "machine hangs: its job is canceled", bounded: true, do: func(w *world) { w.cancelJobOn(w.bench.hang(which)) }},
		{at: at, name: "trace is lost: coordinator", do: func(w *world) { w.loseTrace(which) }},
		disk, disk,
	}).Draw(t, "fate")
}

// drawOperator is what an operator does with the running service.
func drawOperator(t *rapid.T) deed {
	at := within(t, 6*time.Minute, "at")
	more, which := rapid.IntRange(1, 3).Draw(t, "more"), rapid.IntRange(0, 9).Draw(t, "which")
	some := deed{
		at: at / 4, name: "planted: some under our keys, and some more", do: func(w *world) {
			w.plant(2 + more)
			time.Sleep(time.Duration(1+more) * time.Minute)
			w.lookAtFigures()
			w.plant(2 + more)
		},
		until: at/4 + 25*time.Minute, undo: func(w *world) { w.clear() },
	}
	return rapid.SampledFrom([]deed{
		{at: at, name: "audit: released", gentle: true, do: func(w *world) { w.release() }},
		{at: at, name: "audit: looked at", gentle: true, do: func(w *world) { w.lookAtFigures() }},
		{
			at: at, name: "planted: a dozen under our keys", do: func(w *world) {
				w.plant(12)
				time.Sleep(95 * time.Second)
				w.lookAtFigures()
			},
			until: at + 25*time.Minute, undo: func(w *world) { w.clear() },
		},
		some, some,
		{at: at, name: "foreign: look-alikes", gentle: true, do: func(w *world) { w.lookAlikes() }},
		{
			at: at, name: "renamed by hand: instance", lenient: true, do: func(w *world) { w.rename(which) },
			until: at + time.Duration(3*more)*time.Minute, undo: func(w *world) { w.renameBack() },
		},
	}).Draw(t, "operator")
}
