// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Fault is one way of failing, as posted to /_sim/faults.
type Fault struct {
	// Match is METHOD (or *), a blank, and a path in which * stands for one segment.
	Match string `json:"match"`
	// Times is how often it strikes; absent means once, 0 until it is cleared.
	Times *int `json:"times,omitempty"`
	// Status, when not 0, is answered without performing the request, with Body and Headers.
	Status  int               `json:"status,omitempty"`
	Body    string            `json:"body,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Delay is waited before anything else; alone, the request is performed afterwards.
	Delay string `json:"delay,omitempty"`
	// Drop cuts the connection: "before" the request is performed, or "after" it was.
	Drop string `json:"drop,omitempty"`
}

// The two moments at which a connection may be cut.
const (
	dropBefore = "before"
	dropAfter  = "after"
)

// maxTimes bounds Times so that a typing mistake is noticed.
const maxTimes = 1_000_000_000

// live is a fault that was accepted.
type live struct {
	id    int
	fault Fault
	match pattern
	delay time.Duration
	ever  bool // no limit
	left  int
}

// parse checks a fault and makes it ready for use.
func parse(f Fault) (*live, error) {
	match, err := parsePattern(f.Match)
	if err != nil {
		return nil, err
	}
	l := &live{fault: f, match: match}
	if f.Times == nil {
		l.fault.Times = new(1)
	}
	if l.left = *l.fault.Times; l.left < 0 || l.left > maxTimes {
		return nil, fmt.Errorf("times is %d, want 0 (until cleared) or more", l.left)
	}
	l.ever = l.left == 0
	if f.Delay != "" {
		if l.delay, err = time.ParseDuration(f.Delay); err != nil || l.delay < 0 {
			return nil, fmt.Errorf("delay is %q, want a duration like \"2s\"", f.Delay)
		}
	}
	return l, f.checkEffect()
}

// checkEffect refuses what can't be done, and what would do nothing.
func (f Fault) checkEffect() error {
	switch {
	case f.Drop != "" && f.Drop != dropBefore && f.Drop != dropAfter:
		return fmt.Errorf("drop is %q, want \"before\" or \"after\"", f.Drop)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status is %d, want 200 to 599", f.Status)
	case f.Status != 0 && f.Drop != "":
		return fmt.Errorf("status and drop exclude each other")
	case f.Status == 0 && (f.Body != "" || len(f.Headers) > 0):
		return fmt.Errorf("body and headers need a status")
	case f.Status == 0 && f.Drop == "" && f.Delay == "":
		return fmt.Errorf("a fault needs at least one of status, delay and drop")
	}
	return nil
}

// pattern is a parsed Match.
type pattern struct {
	method   string
	segments []string
}

func parsePattern(s string) (pattern, error) {
	method, path, ok := strings.Cut(s, " ")
	if !ok || method == "" || method != strings.ToUpper(method) || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?") {
		return pattern{}, fmt.Errorf("match is %q, want METHOD (or *), one blank, and a path without query", s)
	}
	return pattern{method, strings.Split(path, "/")}, nil
}

// meets tells whether a request is meant. A segment that contains an escaped slash is
// still one segment.
func (p pattern) meets(r *http.Request) bool {
	if p.method != "*" && p.method != r.Method {
		return false
	}
	segments := strings.Split(r.URL.EscapedPath(), "/")
	if len(segments) != len(p.segments) {
		return false
	}
	for i, want := range p.segments {
		if want == "*" && segments[i] != "" || want == segments[i] {
			continue
		}
		if plain, err := url.PathUnescape(segments[i]); err != nil || plain != want {
			return false
		}
	}
	return true
}
