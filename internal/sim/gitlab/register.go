// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// registration is the body of both ways to make a runner.
type registration struct {
	Token           string  `json:"token"`
	Description     string  `json:"description"`
	MaintenanceNote string  `json:"maintenance_note"`
	TagList         tagList `json:"tag_list"`
	RunUntagged     *bool   `json:"run_untagged"`
	Locked          bool    `json:"locked"`
	AccessLevel     string  `json:"access_level"`
	Paused          bool    `json:"paused"`
	Active          *bool   `json:"active"` // the older opposite of Paused
	MaximumTimeout  int     `json:"maximum_timeout"`
	Info            info    `json:"info"`
}

// leastMaxTimeout is the smallest limit that a runner may set for its jobs.
const leastMaxTimeout = 10 * time.Minute

// tagList is a list of tags, or one text with commas.
type tagList []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *tagList) UnmarshalJSON(text []byte) error {
	var list []string
	if err := json.Unmarshal(text, &list); err == nil {
		*l = list
		return nil
	}
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	for tag := range strings.SplitSeq(written, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			*l = append(*l, tag)
		}
	}
	return nil
}

// runner makes a runner of a registration; a reply that is not nil refuses it.
func (c registration) runner() (*runner, *reply) {
	r := &runner{
		description: c.Description, tags: c.TagList, untagged: c.RunUntagged == nil || *c.RunUntagged,
		paused: c.Paused || c.Active != nil && !*c.Active, maxTimeout: time.Duration(c.MaximumTimeout) * time.Second,
		locked: c.Locked, accessLevel: cmp.Or(c.AccessLevel, "not_protected"), note: c.MaintenanceNote,
	}
	if c.AccessLevel != "" && c.AccessLevel != "not_protected" && c.AccessLevel != "ref_protected" {
		refused := failure(http.StatusBadRequest, "access_level does not have a valid value")
		return nil, &refused
	}
	if c.MaximumTimeout != 0 && r.maxTimeout < leastMaxTimeout {
		refused := reply{status: http.StatusBadRequest, body: map[string]any{"message": map[string][]string{
			"maximum_timeout": {"needs to be at least 10 minutes"},
		}}}
		return nil, &refused
	}
	if !r.untagged && len(r.tags) == 0 {
		refused := reply{status: http.StatusBadRequest, body: map[string]any{"message": map[string][]string{
			"tags_list": {"can not be empty when runner is not allowed to pick untagged jobs"},
		}}}
		return nil, &refused
	}
	return r, nil
}

// registerRunner is POST /runners, with a registration token.
func (s *Server) registerRunner(w http.ResponseWriter, r *http.Request) {
	var call registration
	if !readJSON(w, r, &call) {
		return
	}
	if call.Token == "" {
		failure(http.StatusBadRequest, "token is missing").write(w)
		return
	}
	if call.Token != RegistrationToken {
		message(http.StatusForbidden, "403 Forbidden - invalid token supplied").write(w)
		return
	}
	s.addNew(w, call, "")
}

// createRunner is POST /user/runners, which GitLab wants one to use instead.
func (s *Server) createRunner(w http.ResponseWriter, r *http.Request) {
	var call registration
	if readJSON(w, r, &call) {
		s.addNew(w, call, "glrt-")
	}
}

func (s *Server) addNew(w http.ResponseWriter, call registration, prefix string) {
	added, refused := call.runner()
	if refused != nil {
		refused.write(w)
		return
	}
	s.mu.Lock()
	added = s.addRunner(prefix+s.secret(), added)
	added.description = cmp.Or(added.description, shortToken(added.token))
	answer := registered(http.StatusCreated, added, true)
	s.mu.Unlock()
	answer.write(w)
}

// verifyRunner is POST /runners/verify.
func (s *Server) verifyRunner(w http.ResponseWriter, r *http.Request) {
	s.asRunner(w, r, func(known *runner, call runnerCall) reply {
		s.seen(known, call)
		return registered(http.StatusOK, known, true)
	})
}

// resetRunner is POST /runners/reset_authentication_token.
func (s *Server) resetRunner(w http.ResponseWriter, r *http.Request) {
	s.asRunner(w, r, func(known *runner, _ runnerCall) reply {
		prefix := ""
		if strings.HasPrefix(known.token, "glrt-") {
			prefix = "glrt-"
		}
		s.revoke(known)
		known.token = prefix + s.secret()
		s.runners[known.token] = known
		return registered(http.StatusCreated, known, false)
	})
}

// deleteRunner is DELETE /runners.
func (s *Server) deleteRunner(w http.ResponseWriter, r *http.Request) {
	s.asRunner(w, r, func(known *runner, _ runnerCall) reply {
		s.revoke(known)
		return reply{status: http.StatusNoContent}
	})
}

// deleteManager is DELETE /runners/managers.
func (s *Server) deleteManager(w http.ResponseWriter, r *http.Request) {
	s.asRunner(w, r, func(known *runner, call runnerCall) reply {
		if call.SystemID == "" {
			return failure(http.StatusBadRequest, "system_id is missing")
		}
		for i, m := range known.managers {
			if m.systemID == call.SystemID {
				known.managers = append(known.managers[:i:i], known.managers[i+1:]...)
				return reply{status: http.StatusNoContent}
			}
		}
		return message(http.StatusNotFound, "404 Runner Manager Not Found")
	})
}

// revoke makes a runner's token useless; the caller holds the lock.
func (s *Server) revoke(r *runner) {
	delete(s.runners, r.token)
	s.revoked[r.token] = true
}

// asRunner reads a runner's call and answers it under the lock.
func (s *Server) asRunner(w http.ResponseWriter, r *http.Request, act func(known *runner, call runnerCall) reply) {
	var call runnerCall
	if !readJSON(w, r, &call) {
		return
	}
	if call.Token == "" {
		failure(http.StatusBadRequest, "token is missing").write(w)
		return
	}
	s.mu.Lock()
	answer := forbidden()
	if known, ok := s.runnerOf(call.Token); ok {
		answer = act(known, call)
	}
	s.mu.Unlock()
	answer.write(w)
}
