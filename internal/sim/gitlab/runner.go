// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// legacySystem is the name of a runner manager that doesn't tell its own.
const legacySystem = "<legacy>"

// runner is a registration.
type runner struct {
	id          int
	token       string
	description string
	tags        []string
	anyTag      bool // takes jobs with any tags
	untagged    bool // takes jobs without tags
	paused      bool
	locked      bool
	accessLevel string
	note        string
	maxTimeout  time.Duration // 0 is none
	managers    []*manager
}

// manager is one machine that uses a registration.
type manager struct {
	id         int
	systemID   string
	info       info
	createdAt  time.Time
	lastSeenAt time.Time
}

// info is what a runner tells of itself.
type info struct {
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	Revision     string          `json:"revision"`
	Platform     string          `json:"platform"`
	Architecture string          `json:"architecture"`
	Executor     string          `json:"executor"`
	Features     map[string]bool `json:"features"`
}

// runnerCall is the body of every call that a runner makes for itself.
type runnerCall struct {
	Token      string `json:"token"`
	SystemID   string `json:"system_id"`
	LastUpdate string `json:"last_update"`
	Info       info   `json:"info"`
}

// takes tells whether a job is for this runner.
func (r *runner) takes(tags []string) bool {
	if len(tags) == 0 {
		return r.untagged
	}
	return r.anyTag || !slices.ContainsFunc(tags, func(tag string) bool { return !slices.Contains(r.tags, tag) })
}

// addRunner adds a registration; the caller holds the lock, unless nobody else can.
func (s *Server) addRunner(token string, r *runner) *runner {
	s.lastID++
	r.id, r.token = s.lastID, token
	s.runners[token] = r
	return r
}

// runnerOf finds the runner of a token; the caller holds the lock. A glrt- token that
// was never seen stands for a runner that somebody has made in the user interface.
func (s *Server) runnerOf(token string) (*runner, bool) {
	if r, ok := s.runners[token]; ok {
		return r, true
	}
	if s.revoked[token] || len(token) <= len("glrt-") || !strings.HasPrefix(token, "glrt-") {
		return nil, false
	}
	return s.addRunner(token, &runner{description: shortToken(token), untagged: true}), true
}

// shortToken is the part of a token that GitLab shows.
func shortToken(token string) string {
	token = strings.TrimPrefix(token, "glrt-")
	return token[:min(len(token), 9)]
}

// seen remembers that a machine used the registration; the caller holds the lock.
func (s *Server) seen(r *runner, c runnerCall) *manager {
	now := time.Now()
	name := c.SystemID
	if name == "" {
		name = legacySystem
	}
	for _, m := range r.managers {
		if m.systemID == name {
			m.lastSeenAt = now
			if c.Info.Name != "" {
				m.info = c.Info
			}
			return m
		}
	}
	s.lastID++
	m := &manager{id: s.lastID, systemID: name, info: c.Info, createdAt: now, lastSeenAt: now}
	r.managers = append(r.managers, m)
	return m
}

// runnerByID finds the runner that a path names; the caller holds the lock.
func (s *Server) runnerByID(id int64) (*runner, bool) {
	for _, r := range s.runners {
		if int64(r.id) == id {
			return r, true
		}
	}
	return nil, false
}

// registered is the answer to who registers, verifies or resets.
func registered(status int, r *runner, withID bool) reply {
	body := map[string]any{"token": r.token, "token_expires_at": nil}
	if withID {
		body["id"] = r.id
	}
	return reply{status: status, body: body}
}

// discoverRouter says that there is no Job Router.
func (s *Server) discoverRouter(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	_, ok := s.runnerOf(r.Header.Get("Runner-Token"))
	s.mu.Unlock()
	if !ok {
		forbidden().write(w)
		return
	}
	message(http.StatusNotImplemented, "501 Not Implemented").write(w)
}
