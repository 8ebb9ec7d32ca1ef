// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const maxBody = 8 << 20

// call is one request with everything that was found out about it before its handler
// runs. Handlers run with s.mu held and only touch memory.
type call struct {
	r    *http.Request
	body []byte
	base string
	now  time.Time
	door door
	who  *identity
	org  *organisation
	app  *application
	cut  bool // the answer is to be cut in the middle
}

type handle func(*call) (any, error)

// doorKey is how a request carries the door that it came through.
type doorKey struct{}

func at(d door, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), doorKey{}, d)))
	})
}

func (s *Server) newCall(r *http.Request, body []byte) *call {
	d, _ := r.Context().Value(doorKey{}).(door)
	return &call{r: r, body: body, base: s.baseURL(r), now: now(), door: d}
}

// serve reads the body, holds the lock while h runs, and writes its answer.
func (s *Server) serve(h handle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			answer(w, r, nil, badRequest("The body could not be read"))
			return
		}
		c := s.newCall(r, body)
		result, err := s.locked(h, c)
		status, raw := encode(r.URL.Path, result, err)
		if c.cut {
			raw = raw[:len(raw)/2]
		}
		send(w, status, raw)
	}
}

func (s *Server) locked(h handle, c *call) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return h(c)
}

// withWho lets through whoever shows a credential.
func (s *Server) withWho(h handle) handle {
	return func(c *call) (any, error) {
		who, err := s.authenticate(c)
		if err != nil {
			return nil, err
		}
		c.who = who
		return h(c)
	}
}

// withOrg lets through whoever may act for the owner in the path.
func (s *Server) withOrg(h handle) handle {
	return s.withWho(func(c *call) (any, error) {
		id := c.r.PathValue("org")
		if strings.HasPrefix(c.r.URL.Path, "/v2/self/") {
			id = c.who.personal
		}
		c.org = s.orgs[id]
		if c.org == nil {
			return nil, notFound(idNoSuchOrg, "The specified organisation doesn't exist")
		}
		if !c.who.actsFor(id) {
			return nil, notAuthorized("You are not authorized to act for this organisation")
		}
		if err := c.who.service.allows(c); err != nil {
			return nil, err
		}
		return h(c)
	})
}

// withApp finds the application in the path; deleted ones and those of other
// organisations do not exist.
func (s *Server) withApp(h handle) handle {
	return func(c *call) (any, error) {
		a := s.byID[c.r.PathValue("app")]
		if a == nil || a.state == stateDeleted || a.org != c.org.id {
			return nil, noSuchApp()
		}
		c.app = a
		return h(c)
	}
}

// decode reads the body; what the platform does not know it ignores.
func (c *call) decode(into any) error {
	if err := json.Unmarshal(c.body, into); err != nil {
		if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); wrongType {
			return badRequest("A field has the wrong type: %s", err)
		}
		return badRequest("The body is not JSON")
	}
	return nil
}
