// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"net/http"
	"time"
)

// Request is what is remembered of one request.
type Request struct {
	At        time.Time `json:"at"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Query     string    `json:"query"`
	UserAgent string    `json:"user_agent"`
	// Status is what the server answered, also when the answer was then dropped; null
	// while it is not answered, and for ever when the request was never performed.
	Status *int `json:"status"`
	// Fault is the id of the fault that struck; null when none did.
	Fault *int `json:"fault"`
}

// maxText bounds what is remembered of a text that a client chooses.
const maxText = 2048

// Requests lists the remembered requests in order of arrival.
func (p *Panel) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Request, 0, len(p.requests))
	for i := range p.requests {
		out = append(out, *p.requests[(p.first+i)%len(p.requests)])
	}
	return out
}

// record remembers a request that has just arrived.
func (p *Panel) record(r *http.Request, struck *live) *Request {
	entry := &Request{
		At: p.now().UTC(), Method: cut(r.Method), Path: cut(r.URL.Path),
		Query: cut(r.URL.RawQuery), UserAgent: cut(r.UserAgent()),
	}
	if struck != nil {
		entry.Fault = new(struck.id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) < p.maxRequests {
		p.requests = append(p.requests, entry)
	} else {
		p.requests[p.first] = entry
		p.first = (p.first + 1) % len(p.requests)
	}
	return entry
}

// answered completes what is remembered of a request.
func (p *Panel) answered(entry *Request, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if status != 0 {
		entry.Status = &status
	}
}

func cut(s string) string { return s[:min(len(s), maxText)] }
