// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"cmp"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Config configures a Panel; the zero value is ready to use.
type Config struct {
	// Now is the clock of the record of requests; nil means time.Now.
	Now func() time.Time
	// MaxRequests is how many requests are remembered, the newest ones; 0 means 100000.
	MaxRequests int
}

// maxFaults bounds how many faults are kept, those that have struck out included.
const maxFaults = 10_000

// Panel holds the faults of one server and the record of its requests.
type Panel struct {
	now         func() time.Time
	maxRequests int

	mu       sync.Mutex
	faults   []*live // in order of arrival
	lastID   int
	requests []*Request // in order of arrival, the oldest at first when full
	first    int
}

// New makes a panel without faults.
func New(c Config) *Panel {
	p := &Panel{now: c.Now, maxRequests: cmp.Or(c.MaxRequests, 100_000)}
	if p.now == nil {
		p.now = time.Now
	}
	return p
}

// Add adds a fault behind those that are there, and returns its id.
func (p *Panel) Add(f Fault) (int, error) {
	l, err := parse(f)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) >= maxFaults {
		return 0, fmt.Errorf("there are %d faults already; clear them first", maxFaults)
	}
	p.lastID++
	l.id = p.lastID
	p.faults = append(p.faults, l)
	return l.id, nil
}

// Clear forgets all faults. Requests that are being delayed stay delayed.
func (p *Panel) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Listed is a fault as GET /_sim/faults shows it.
type Listed struct {
	ID int `json:"id"`
	Fault
	// Left is how often it will still strike; null means until it is cleared.
	Left *int `json:"left"`
}

// Faults lists all faults in order of arrival, also those that have struck out.
func (p *Panel) Faults() []Listed {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Listed, 0, len(p.faults))
	for _, l := range p.faults {
		entry := Listed{ID: l.id, Fault: l.fault}
		if !l.ever {
			entry.Left = new(l.left)
		}
		out = append(out, entry)
	}
	return out
}

// strike finds the first live fault that means this request and counts it; nil when there is none.
func (p *Panel) strike(r *http.Request) *live {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.faults {
		if !l.ever && l.left == 0 || !l.match.meets(r) {
			continue
		}
		if !l.ever {
			l.left--
		}
		return l
	}
	return nil
}
