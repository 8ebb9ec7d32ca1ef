// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"heptapod-paas-runner/internal/fleet"
)

const maxNotice = 4 << 10

// events are the notices that an instance may send.
var events = []string{"booted", "handed_out", "finished"}

// ErrDown is what a Source returns from Notice when it can't tell; a notice is then
// answered 503 instead of 401.
var ErrDown = errors.New("the manager is not running")

// healthz says that the process is alive, and nothing else.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	status, err := s.ask(r.Context())
	if err != nil {
		status = Status{Reasons: []string{err.Error()}}
	}
	code := http.StatusOK
	if !status.Ready {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, Readiness{Ready: status.Ready, Reasons: list(status.Reasons)})
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, func(status Status) (any, *Problem) { return status, nil })
}

func (s *Server) jobs(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, func(status Status) (any, *Problem) { return status.Jobs, nil })
}

func (s *Server) instances(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, func(status Status) (any, *Problem) { return status.Instances, nil })
}

// job shows one open job. Ids are unique within a coordinator only: `?coordinator=URL`
// chooses among several.
func (s *Server) job(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		problem(w, http.StatusBadRequest, "a job's id is a number")
		return
	}
	where := r.URL.Query().Get("coordinator")
	s.show(w, r, func(status Status) (any, *Problem) {
		found := slices.DeleteFunc(slices.Clone(status.Jobs), func(j Job) bool {
			return j.ID != id || where != "" && j.Coordinator != where
		})
		switch len(found) {
		case 0:
			return nil, &Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("no open job %d", id)}
		case 1:
			return found[0], nil
		}
		return nil, &Problem{Status: http.StatusConflict, Detail: fmt.Sprintf(
			"%d coordinators have a job %d here: choose with ?coordinator=URL, one of %q", len(found), id, coordinators(found))}
	})
}

func coordinators(jobs []Job) []string {
	var out []string
	for _, j := range jobs {
		out = append(out, j.Coordinator)
	}
	slices.Sort(out)
	return out
}

// show answers with a part of the present picture.
func (s *Server) show(w http.ResponseWriter, r *http.Request, part func(Status) (any, *Problem)) {
	status, err := s.ask(r.Context())
	if err != nil {
		problem(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	value, p := part(status.filled())
	if p != nil {
		problem(w, p.Status, p.Detail)
		return
	}
	answer(w, http.StatusOK, value)
}

// notice takes a hint from an instance. The bearer is what protects it, not the
// address: instances come from anywhere.
func (s *Server) notice(w http.ResponseWriter, r *http.Request) {
	token := bearer(r)
	if token == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem(w, http.StatusUnauthorized, "a notice needs the bearer of its instance")
		return
	}
	var n Notice
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxNotice)).Decode(&n); err != nil {
		problem(w, http.StatusBadRequest, `want {"key","event"}`)
		return
	}
	if _, _, ok := fleet.ParseKey(n.Key); !ok || !slices.Contains(events, n.Event) {
		problem(w, http.StatusBadRequest, fmt.Sprintf("want the key of an instance, and an event out of %q", events))
		return
	}
	if !s.rate.take() {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusTooManyRequests, "more notices than this service takes")
		return
	}
	switch err := s.source.Notice(n.Key, n.Event, token); {
	case errors.Is(err, ErrDown):
		problem(w, http.StatusServiceUnavailable, ErrDown.Error())
	case err != nil:
		problem(w, http.StatusUnauthorized, "no instance with this key and bearer")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// filled gives the status with empty lists in place of missing ones: readers see []
// and {}, never null.
func (s Status) filled() Status {
	s.Reasons, s.Strangers, s.Breakers = list(s.Reasons), list(s.Strangers), list(s.Breakers)
	s.Runners, s.Jobs, s.Instances = list(s.Runners), list(s.Jobs), list(s.Instances)
	if s.Results == nil {
		s.Results = map[string]int{}
	}
	return s
}

func list[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, code, value)
}

func problem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, code, Problem{Title: http.StatusText(code), Status: code, Detail: detail})
}

func write(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(value) // the reader has gone: nobody is left to be told
}
