// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// stop is a point in a job's script where it waits for the test.
type stop struct {
	url      string
	reached  chan struct{}
	once     sync.Once
	released chan struct{}
	free     sync.Once
}

func (p *place) newStop(t *testing.T) *stop {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	name := fmt.Sprint(len(p.stops))
	s := &stop{url: p.url + "/_stop/" + name, reached: make(chan struct{}), released: make(chan struct{})}
	p.stops[name] = s
	t.Cleanup(s.release)
	return s
}

// line is what a script does to stop there; it asks again when the connection is cut.
func (s *stop) line() string { return "until wget -q -O /dev/null " + s.url + "; do sleep 0.2; done" }

func (s *stop) release() { s.free.Do(func() { close(s.released) }) }

// ServeHTTP is the coordinator, and the stops.
func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, is := strings.CutPrefix(r.URL.Path, "/_stop/")
	if !is {
		p.gitlab.ServeHTTP(w, r)
		return
	}
	p.mu.Lock()
	s := p.stops[name]
	p.mu.Unlock()
	s.once.Do(func() { close(s.reached) })
	select {
	case <-s.released:
	case <-r.Context().Done():
	}
}

// wait waits until a job is there.
func (s *stop) wait(t *testing.T, p *place, job int64) {
	t.Helper()
	eventually(t, 2*time.Minute, func() bool {
		select {
		case <-s.reached:
			return true
		default:
		}
		if j := p.now(job); j.FinishedAt != nil {
			t.Fatalf("job %d ended %s before it got where it was to stop:\n%s", job, j.Status, j.Trace)
		}
		return false
	}, func() string { return fmt.Sprintf("job %d does not get there:\n%s", job, p.now(job).Trace) })
}
