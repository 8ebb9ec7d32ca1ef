// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The ways in which the cloud's answer is not what it did.
const (
	sayBusy      = "done but says 503"
	sayRefused   = "done but says refused"
	doTwice      = "done twice"
	ignoreDelete = "deletion accepted, not done"
	deleteBusy   = "deletion done but says 503"
	spoilGrant   = "a granted job can't be read"
	acceptEnd    = "a job's end accepted, not stored"
	pageEnd      = "a job's end answered by somebody else"
)

// lies stand before the cloud's own answers. They are what faults can't do: those answer
// instead of acting, or cut the answer.
type lies struct {
	mu    sync.Mutex
	left  map[string]int
	stale time.Time         // lists are old until then
	lists map[string][]byte // by path, what they showed when they became old
	young time.Time         // lists show everything as never started until then
	turn  map[string]int    // lists shown while every second one is fresh all the same; nil = all are old
	full  int               // every creation is answered so, as if the cloud had forgotten to give a quota back
	never string            // the API name of a flavor of which there is no capacity
	poor  string            // an organisation that gets nothing more
	told  int               // how often that was said

	deny    int // questions about jobs are refused with this status
	denials int // so many of them
	every   int // each of them, or every second one
	asked   int
}

// refuse lets a proxy refuse some questions about jobs in the coordinators' place.
func (l *lies) refuse(status, every, times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deny, l.every, l.denials, l.asked = status, every, times, 0
}

// denies gives what a question about a job is refused with; 0 = it is not.
func (l *lies) denies(r *http.Request) int {
	update := r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/api/v4/jobs/")
	if !update && r.URL.Path != "/api/v4/job" {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.denials == 0 {
		return 0
	}
	if !update {
		l.asked++
	}
	if !update && l.asked%l.every != 0 {
		return 0
	}
	l.denials--
	return l.deny
}

// refuseFlavor lets every creation of a flavor be refused; "" = of none.
func (l *lies) refuseFlavor(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.never = name
}

// refuseOrganisation lets every creation for an organisation be refused; "" = for none.
func (l *lies) refuseOrganisation(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.poor = name
}

// refuses tells whether a creation asks for the flavor that there is none of.
func (l *lies) refuses(r *http.Request) bool {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	none := l.never != "" && bytes.Contains(body, []byte(`"`+l.never+`"`))
	if !none && (l.poor == "" || !strings.Contains(r.URL.Path, "/"+l.poor+"/")) {
		return false
	}
	l.told++
	return true
}

// refused counts the creations that were.
func (l *lies) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

func (l *lies) set(kind string, times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == nil {
		l.left = map[string]int{}
	}
	l.left[kind] += times
}

// staleLists freezes every list at its next look.
func (l *lies) staleLists(long time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale, l.lists, l.turn = time.Now().Add(long), map[string][]byte{}, nil
}

// youngLists lets lists show what there is as it was when it was made.
func (l *lies) youngLists(long time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.young = time.Now().Add(long)
}

func (l *lies) areYoung() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.young)
}

// turns lets two copies of the cloud answer in turns, one of which is old.
func (l *lies) turns(long time.Duration) {
	l.staleLists(long)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn = map[string]int{}
}

// noRoom lets every creation be answered so, for lack of room: refused as if the quota of the
// organisation were used up, or put off. 0 = there is room.
func (l *lies) noRoom(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = status
}

func (l *lies) hasNoRoom() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

// take uses one lie up.
func (l *lies) take(kind string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left[kind] == 0 {
		return false
	}
	l.left[kind]--
	return true
}

const (
	busyPage       = "<html><body>503 Service Unavailable</body></html>"
	refusedText    = `{"id":4001,"message":"You reached the quota of your organisation","type":"error"}`
	noCapacityText = `{"id":-500,"message":"no capacity for this flavor in the zone","type":"error"}`
	deletedText    = `{"id":302,"message":"The application has been deleted","type":"success"}`
)

var commitID = regexp.MustCompile(`"commitId":"[^"]*"`)

// neverStarted changes a list of applications: none of them was started.
func neverStarted(list string) string {
	return strings.ReplaceAll(commitID.ReplaceAllString(list, `"commitId":null`), "SHOULD_BE_UP", "SHOULD_BE_DOWN")
}

// answer performs a request as the lies say.
func (l *lies) answer(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	isList := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/applications")
	create := r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/applications")
	remove := r.Method == http.MethodDelete && !strings.HasPrefix(r.URL.Path, "/_sim/")
	switch {
	case isList && l.areYoung():
		got := perform(r, next)
		write(rw, got.Code, neverStarted(got.Body.String()))
	case isList:
		l.list(rw, r, next)
	case create && l.refuses(r):
		write(rw, http.StatusServiceUnavailable, noCapacityText)
	case create && l.hasNoRoom() == http.StatusBadRequest:
		write(rw, http.StatusBadRequest, refusedText)
	case create && l.hasNoRoom() != 0:
		write(rw, l.hasNoRoom(), noCapacityText)
	case create && l.take(sayBusy):
		perform(r, next)
		write(rw, http.StatusServiceUnavailable, busyPage)
	case create && l.take(sayRefused):
		perform(r, next)
		write(rw, http.StatusBadRequest, refusedText)
	case create && l.take(doTwice):
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		perform(r, next)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(rw, r)
	case remove && l.take(ignoreDelete):
		write(rw, http.StatusOK, deletedText)
	case remove && l.take(deleteBusy):
		perform(r, next)
		write(rw, http.StatusServiceUnavailable, busyPage)
	default:
		next.ServeHTTP(rw, r)
	}
}

// grant answers a job request; a job that it grants may come in a form that can't be read.
func (l *lies) grant(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	l.mu.Lock()
	spoiled := l.left[spoilGrant] > 0
	l.mu.Unlock()
	if !spoiled {
		next.ServeHTTP(rw, r)
		return
	}
	got := perform(r, next)
	body := got.Body.String()
	if got.Code == http.StatusCreated && l.take(spoilGrant) {
		body = body[:len(body)-len(body)/8]
	}
	maps.Copy(rw.Header(), got.Header())
	rw.Header().Del("Content-Length")
	rw.WriteHeader(got.Code)
	_, _ = io.WriteString(rw, body) // the client may be gone
}

// list answers with the old list while lists are old.
func (l *lies) list(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	l.mu.Lock()
	old := time.Now().Before(l.stale)
	body, frozen := l.lists[r.URL.Path]
	if l.turn != nil {
		l.turn[r.URL.Path]++
		old = old && l.turn[r.URL.Path]%2 == 1
	}
	l.mu.Unlock()
	if !old {
		next.ServeHTTP(rw, r)
		return
	}
	if !frozen {
		got := perform(r, next)
		if got.Code != http.StatusOK {
			write(rw, got.Code, got.Body.String())
			return
		}
		body = got.Body.Bytes()
		l.mu.Lock()
		l.lists[r.URL.Path] = body
		l.mu.Unlock()
	}
	write(rw, http.StatusOK, string(body))
}

func perform(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	got := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	next.ServeHTTP(got, r)
	return got
}

func write(rw http.ResponseWriter, status int, body string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, body) // the client may be gone
}

// repeats sends requests to a server twice, as a proxy does that lost the first answer.
type repeats struct {
	method atomic.Pointer[string]
	left   atomic.Int32
}

func (p *repeats) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if p.takes(r) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			perform(r, next)
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.Header.Del(callHeader) // not ours any more
		}
		next.ServeHTTP(rw, r)
	})
}

// takes tells whether this request is sent twice.
func (p *repeats) takes(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/_sim/") || strings.HasSuffix(r.URL.Path, "/applications") || strings.HasSuffix(r.URL.Path, "/jobs/request") {
		return false
	}
	method := p.method.Load()
	return method != nil && r.Method == *method && p.left.Load() > 0 && p.left.Add(-1) >= 0
}
