// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// story is what happened in a world, in order: the crash points that were passed, what the
// plan did, and what the service said.
type story struct {
	mu     sync.Mutex
	points []string // with their times, of all lives: the history that a seed must give again
	lines  []string // for people
}

// point notes a crash point.
func (s *story) point(name string) { s.add(name, name) }

// note tells people something that is no crash point.
func (s *story) note(format string, args ...any) { s.add("", fmt.Sprintf(format, args...)) }

func (s *story) add(point, line string) {
	at := time.Now().Format("15:04:05.000000")
	s.mu.Lock()
	defer s.mu.Unlock()
	if point != "" {
		s.points = append(s.points, at+" "+point)
	}
	s.lines = append(s.lines, at+" "+line)
}

// Write takes what the service logs.
func (s *story) Write(line []byte) (int, error) {
	_, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ") // its time stands there already
	s.note("    %s", strings.TrimPrefix(rest, "level="))
	return len(line), nil
}

// trail is the history.
func (s *story) trail() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.points
}

// routine are calls that say nothing by being made: who looks for a mistake sees what they led to.
var routine = regexp.MustCompile(`^\S+ call (POST /api/v4/jobs/request|GET /api/v4/job|GET /v2/\S+/applications|GET /v2/products/instances|PATCH \S+ \(probe\))( by runner \S+)?/(before|after)`)

// tell tells the story to people: a call is an arrow to the right, its answer one to the left.
func (s *story) tell() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, line := range s.lines {
		at, what, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(what, "#")
		call, isCall := strings.CutPrefix(name, "call ")
		switch {
		case routine.MatchString(line) || strings.HasPrefix(what, "commit ") && strings.HasSuffix(name, "/before"):
			continue
		case isCall && strings.HasSuffix(call, "/before"):
			what = "  → " + strings.TrimSuffix(call, "/before")
		case isCall:
			what = "  ← " + strings.TrimSuffix(call, "/after")
		case strings.HasPrefix(what, "commit "):
			what = "  " + strings.TrimSuffix(name, "/after")
		}
		b.WriteString(at + " " + what + "\n")
	}
	return b.String()
}
