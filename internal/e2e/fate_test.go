// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"heptapod-paas-runner/internal/store"
)

var errPower = errors.New("the power is cut")

// fate watches one life of the service pass its crash points and cuts the power at one
// of them. From then on nothing that the life does has an effect.
type fate struct {
	mu     sync.Mutex
	target string // name of the point to cut at; "" = never
	after  int    // or cut at the n-th point, from 1; 0 = never
	kinds  int    // or cut at the n-th kind of points that is passed for the first time, from 1; 0 = never
	count  int
	seen   map[string]int
	fresh  map[string]bool // kinds passed
	story  *story          // of all lives of a world
	kill   context.CancelFunc
	dead   bool
	cut    string // the point at which the power was cut
	cutAt  time.Time
	full   *atomic.Bool // the ledger's disk has no space left
}

// Point implements store.Hook: commits are crash points.
func (f *fate) Point(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errPower
	}
	if f.full.Load() && strings.HasPrefix(name, "commit ") && strings.HasSuffix(name, "/before") {
		return fmt.Errorf("simulated: %w", store.ErrFull)
	}
	f.seen[name]++
	full := fmt.Sprintf("%s#%d", name, f.seen[name])
	f.story.point(full)
	f.count++
	isNew := false
	if f.seen[name] == 1 {
		kind := pointKind(name)
		isNew = !f.fresh[kind]
		f.fresh[kind] = true
	}
	if full != f.target && f.count != f.after && (!isNew || len(f.fresh) != f.kinds) {
		return nil
	}
	f.dead, f.cut, f.cutAt = true, name, time.Now()
	f.story.note("-- the power is cut at %s", name)
	f.kill()
	return errPower
}

func (f *fate) alive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.dead
}

// cutSoon lets the power be cut at the n-th point from now on; 0 = not at all.
func (f *fate) cutSoon(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > 0 {
		f.after = f.count + n
	}
}

// wire is the life's way to the network; each call has a crash point before it is sent
// and one after it took effect.
type wire struct {
	fate    *fate
	granted func(place string, id [][]byte)
	refuse  *atomic.Bool // a broken proxy stands before the service: 401 to all that it asks coordinators
	thaw    func()       // waits while the service is frozen
	book    *book
	seed    uint64
	who     string // whose calls these are
	calls   *counter
	next    http.RoundTripper
}

// counter numbers the calls of a life. A reload makes a runner anew while calls of the old one
// are under way: they have numbers of their own.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) next(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what]++
	return c.seen[what]
}

// pause names a call and puts its beginning at an instant of its own: the goroutine that owns
// the state goes on at the instant at which it hands calls out.
func (w *wire) pause(what string) (call string) {
	call = w.who + " " + what
	call = fmt.Sprintf("%s %d", call, w.calls.next(call))
	w.thaw()
	w.apart(call)
	return call
}

// ended puts a call's end at an instant of its own: one change, or one time limit, may end
// several at once.
func (w *wire) ended(call string) {
	w.thaw()
	w.apart(call + " ended")
}

func (w *wire) apart(what string) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", w.seed, what)
	time.Sleep(time.Microsecond + time.Duration(h.Sum64()%uint64(time.Millisecond)))
}

// whatIsAsked tells calls apart that one step hands out at one instant: two instances are
// made, pushed to or looked at by calls of one name, and which of their goroutines comes
// first must not matter.
func whatIsAsked(r *http.Request) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Range"), r.Header.Get("Job-Token"))
	if r.GetBody != nil {
		if body, err := r.GetBody(); err == nil {
			_, _ = io.Copy(h, body) // from memory into memory
			_ = body.Close()
		}
	}
	return fmt.Sprintf("%s %x", callName(r), h.Sum64())
}

// callHeader names a call, so that its way through the network takes a time that does not
// depend on what else is under way.
const callHeader = "X-Test-Call"

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	name := callName(r)
	if w.who != "clever" {
		name += " by runner " + w.who // so that calls of two runners at one instant have an order
	}
	begun := time.Now() // the service knows nothing of a pause
	call := w.pause(whatIsAsked(r))
	w.book.calls(r)
	if err := w.fate.Point(name + "/before"); err != nil {
		return nil, err
	}
	told := w.book.sends(w.who, r)
	if w.refuse.Load() && strings.HasPrefix(r.URL.Path, "/api/v4/") {
		no := &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: http.NoBody, Request: r}
		told(no, nil)
		return no, nil
	}
	r = r.Clone(r.Context())
	r.Header.Set(callHeader, call)
	request := strings.HasSuffix(r.URL.Path, "/jobs/request")
	if request {
		w.book.asks(w.who)
	}
	answer, err := w.next.RoundTrip(r)
	told(answer, err)
	if err != nil && request && errors.Is(r.Context().Err(), context.Canceled) { // not that its time was over
		w.book.cut(begun)
	}
	w.ended(call)
	if err != nil {
		w.fate.story.note("      %s fails: %v", name, err)
		return nil, err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		w.fate.story.note("      %s is answered %d", name, answer.StatusCode)
	}
	if err := w.fate.Point(name + "/after"); err != nil {
		_ = answer.Body.Close()
		return nil, err
	}
	if answer.StatusCode == http.StatusCreated && strings.HasSuffix(r.URL.Path, "/jobs/request") {
		w.granted(r.URL.Scheme+"://"+r.URL.Host, grantedID.FindSubmatch(peek(answer)))
	}
	return answer, nil
}

// grantedID finds the job's id in the simulator's grant, which may be cut.
var grantedID = regexp.MustCompile(`,"id":(\d+),"image":`)

var appID = regexp.MustCompile(`app_[0-9a-f-]+`)

// callName names an outside call by what it is for, not by ids that differ.
func callName(r *http.Request) string {
	name := "call " + r.Method + " " + appID.ReplaceAllString(r.URL.Path, "APP")
	if r.Header.Get("Content-Range") == "1-1" {
		name += " (probe)"
	}
	return name
}

// pointsLeft is a hook that lets so many points pass and then cuts the power.
type pointsLeft int

func (p *pointsLeft) Point(string) error {
	if *p--; *p < 0 {
		return errPower
	}
	return nil
}
