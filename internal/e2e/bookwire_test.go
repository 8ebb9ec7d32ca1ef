// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// storm is how many calls of one kind may fail within a minute.
const storm = 45

// lines is what the book knows of calls: who asked what, how it was answered, and who wants to
// be left alone until when. It is that of one life.
type lines struct {
	quiet    map[string]time.Time        // until when a call is asked not to be made
	failed   map[string][]time.Time      // when calls failed
	refused  map[string]bool             // keys whose creation the platform refused for good
	made     map[string]bool             // keys whose creation was answered well
	unasked  map[string]int              // refusals of the credential for the creation of a key
	own      bool                        // the platform refused anything in its own words
	listed   map[string]time.Time        // when an organisation's list was answered last, by who asked
	swept    map[string]time.Time        // when all that an organisation has was looked through last
	unlisted map[string]bool             // of which a list failed, or was never asked for
	denied   map[fleet.JobID][]time.Time // bare refusals of a job in a row
	well     map[string]time.Time        // when a coordinator answered anything well
	open     map[string]bool             // runners whose job request is under way
	asked    map[string]time.Time        // when it ended last
}

func newLines() lines {
	return lines{
		swept: map[string]time.Time{}, made: map[string]bool{}, unasked: map[string]int{}, quiet: map[string]time.Time{}, failed: map[string][]time.Time{}, refused: map[string]bool{}, listed: map[string]time.Time{},
		unlisted: map[string]bool{}, denied: map[fleet.JobID][]time.Time{}, well: map[string]time.Time{}, open: map[string]bool{}, asked: map[string]time.Time{},
	}
}

// sends is told of each call when it is sent; what comes back is to be told how it was answered.
func (b *book) sends(who string, r *http.Request) func(*http.Response, error) {
	if !b.w.drawn {
		return func(*http.Response, error) {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	name := b.callKey(who, r)
	if until := b.lines.quiet[name]; time.Now().Add(slack).Before(until) && b.hasOneAsker(r) {
		b.fault("I8: %s is sent %s before the time that its server asked to wait for", name, time.Until(until))
	}
	key := createKey(r)
	if b.lines.refused[key] && key != "" {
		b.fault("I1: %s is asked for again, and was refused for good", key)
	}
	request := strings.HasSuffix(r.URL.Path, "/jobs/request")
	if request {
		b.lines.open[who] = true
	}
	life := b.begun
	return func(answer *http.Response, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.begun != life {
			return
		}
		if request {
			b.lines.open[who], b.lines.asked[who] = false, time.Now()
		}
		b.answered(who, name, key, r, answer, err)
	}
}

// callKey names a call by who asks what, and about what.
func (b *book) callKey(who string, r *http.Request) string {
	name := who + " " + r.Method + " " + r.URL.Path
	if r.Header.Get("Content-Range") == "1-1" {
		name += " (probe)"
	}
	if token := r.Header.Get("Job-Token"); token != "" {
		for id, n := range b.jobs {
			if n.rec.Token.Reveal() == token {
				name += fmt.Sprintf(" of job %d, %s", id.ID, n.rec.State)
			}
		}
	}
	return name + createKey(r)
}

// createKey is the key of an instance that a call asks for.
func createKey(r *http.Request) string {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/applications") || r.GetBody == nil {
		return ""
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	raw, _ := io.ReadAll(body)
	_, rest, _ := strings.Cut(string(raw), `"name":"`)
	key, _, _ := strings.Cut(rest, `"`)
	return key
}

// hasOneAsker tells whether nobody else may send such a call for a reason of his own.
func (b *book) hasOneAsker(r *http.Request) bool {
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/v4/groups/"):
		return !b.w.purses
	case strings.HasPrefix(r.URL.Path, "/api/v4/job"), strings.HasPrefix(r.URL.Path, "/git/"):
		return true
	}
	return r.Method == http.MethodDelete || createKey(r) != ""
}

func (b *book) answered(who, name, key string, r *http.Request, answer *http.Response, err error) {
	now := time.Now()
	if errors.Is(err, context.Canceled) || r.Context().Err() != nil {
		return
	}
	b.noteDenial(r, answer, err, now)
	list := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/applications")
	if list {
		good := err == nil && answer.StatusCode == http.StatusOK && bytes.HasPrefix(peek(answer), []byte("["))
		b.lines.noteList(who+" "+r.URL.Path, good, now)
	}
	bad := err != nil || answer.StatusCode >= http.StatusBadRequest
	if !bad {
		b.lines.made[key] = key != "" && bytes.Contains(peek(answer), []byte(`"id":"app_`))
		return
	}
	if !strings.HasSuffix(name, "(probe)") || err != nil || answer.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		b.noteFailure(name, r, now)
	}
	if err != nil {
		return
	}
	if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
		b.lines.quiet[name] = now.Add(time.Duration(wait) * time.Second)
	}
	if answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusTooManyRequests && strings.HasPrefix(r.URL.String(), cleverURL) {
		b.noteRefusal(key, answer)
	}
}

// noteFailure counts failing calls: whoever fails again and again makes pauses.
func (b *book) noteFailure(name string, r *http.Request, now time.Time) {
	if strings.HasPrefix(r.URL.Path, "/v2/products/") {
		return
	}
	var recent []time.Time
	for _, at := range b.lines.failed[name] {
		if now.Sub(at) < time.Minute {
			recent = append(recent, at)
		}
	}
	b.lines.failed[name] = append(recent, now)
	most := storm
	if strings.HasSuffix(r.URL.Path, "/applications") {
		most *= 4 // instances whose handle is not known are looked for by it too
	}
	if len(recent) > most {
		b.fault("I8: %s failed %d times within a minute", name, len(recent)+1)
		b.lines.failed[name] = nil
	}
}

// noteRefusal keeps what the platform refuses in its own words.
func (b *book) noteRefusal(key string, answer *http.Response) {
	raw := peek(answer)
	own := bytes.Contains(raw, []byte(`"type":"error"`)) || answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden
	if !own {
		return
	}
	b.lines.own = true
	if answer.StatusCode == http.StatusUnauthorized && key != "" {
		b.lines.unasked[key]++
	}
	if key != "" && answer.StatusCode == http.StatusBadRequest && bytes.Contains(raw, []byte("quota")) {
		b.lines.refused[key] = true
	}
}

// noteDenial counts the bare refusals of a job that come in a row.
func (b *book) noteDenial(r *http.Request, answer *http.Response, err error, now time.Time) {
	if err != nil || !strings.HasPrefix(r.URL.Path, "/api/v4/") {
		return
	}
	place := r.URL.Scheme + "://" + r.URL.Host
	kind := answer.Header.Get("Content-Type")
	good := answer.StatusCode < http.StatusMultipleChoices && (!strings.HasPrefix(kind, "text/") || answer.Header.Get("Job-Status") != "")
	foreign := strings.Contains(kind, "html") || answer.StatusCode == http.StatusNotFound && strings.HasPrefix(kind, "text/")
	if good {
		b.lines.well[place] = now
	}
	for id, n := range b.jobs {
		if id.Coordinator != place || r.Header.Get("Job-Token") != n.rec.Token.Reveal() || n.rec.Token.Empty() {
			continue
		}
		switch {
		case good && r.Method != http.MethodPatch:
			delete(b.lines.denied, id)
		case foreign:
		case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusNotFound:
			if r.Method != http.MethodGet {
				b.lines.denied[id] = append(b.lines.denied[id], now)
			}
		}
	}
}

// mayBeEnded tells why refusals must not be taken for a job's end: there are to be three in a
// row within a minute, from a coordinator that answers others.
func (b *book) mayBeEnded(id fleet.JobID) string {
	row := b.lines.denied[id]
	if len(row) < 3 || row[len(row)-1].Sub(row[len(row)-3]) > time.Minute {
		return fmt.Sprintf("it was refused at %v", row)
	}
	first := slices.IndexFunc(row, func(at time.Time) bool { return time.Since(at) <= time.Minute })
	if first < 0 || b.lines.well[id.Coordinator].Before(row[first]) {
		return "its coordinator refuses everything since " + b.lines.well[id.Coordinator].String()
	}
	return ""
}

// peek reads an answer's body and leaves it to be read.
func peek(answer *http.Response) []byte {
	raw, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(raw), bodyEnd{err}))
	return raw
}

// bodyEnd is the end of a body, which may have been cut.
type bodyEnd struct{ err error }

func (b bodyEnd) Read([]byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.EOF
}

func (l *lines) noteList(of string, good bool, now time.Time) {
	if good {
		l.listed[of] = now
		return
	}
	l.unlisted[of] = true
}

// swept is told that all that an organisation has was looked through.
func (b *book) swept(of string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines.swept[of] = time.Now()
}

// hasListed tells whether a runner of this life has seen, or could not see, all that it has to
// look through before it may have more.
func (b *book) hasListed(who string) bool {
	organisations := []string{"orga_sim"}
	if b.w.cfg.Runners[0].Clever.MultiTenant {
		if !b.w.calm && !b.w.bounded {
			return true
		}
		organisations = []string{"orga_one", "orga_two"}
	}
	for _, organisation := range organisations {
		of := who + " /v2/organisations/" + organisation + "/applications"
		if b.lines.listed[of].IsZero() && !b.lines.unlisted[of] {
			return false
		}
	}
	return true
}
