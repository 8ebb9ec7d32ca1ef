// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

const maxBody = 8 << 20

// call is one request with everything that was found out about it before its
// handler runs. Handlers run with s.mu held and only touch memory.
type call struct {
	r    *http.Request
	body []byte
	base string
	now  time.Time
	org  *organisation
	app  *application
}

type handle func(*call) (any, error)

// routes is the list of everything that the platform answers.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	public := func(pattern string, h handle) { mux.HandleFunc(pattern, s.serve(h)) }
	self := func(pattern string, h handle) { mux.HandleFunc(pattern, s.serve(s.withToken(h))) }
	org := func(pattern string, h handle) { mux.HandleFunc(pattern, s.serve(s.withOrg(h))) }
	app := func(pattern string, h handle) { mux.HandleFunc(pattern, s.serve(s.withOrg(s.withApp(h)))) }
	s.routeCatalog(public)
	s.routeSelf(self)
	s.routeOrganisation(org)
	s.routeApplication(app)
	s.routeDeployments(app)
	mux.HandleFunc("GET /git/{repo}/info/refs", s.gitRefs)
	mux.HandleFunc("POST /git/{repo}/git-upload-pack", s.gitUploadPack)
	mux.HandleFunc("POST /git/{repo}/git-receive-pack", s.gitReceivePack)
	mux.HandleFunc("GET /v4/logs/organisations/{org}/applications/{app}/logs", s.logs)
	s.routeControl(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 0, nil, &problem{http.StatusNotFound, 404, "No such route"})
	})
	return mux
}

func (s *Server) routeCatalog(on func(string, handle)) {
	on("GET /v2/products/instances", func(*call) (any, error) { return products(), nil })
	on("GET /v2/products/instances/{type}", func(c *call) (any, error) {
		for _, p := range products() {
			if p.Type+"-"+p.Version == c.r.PathValue("type") {
				return p, nil
			}
		}
		return nil, &problem{http.StatusNotFound, idNoSuchInstance, "The specified instance does not exist"}
	})
	on("GET /v2/products/flavors", func(c *call) (any, error) { return flavors(c.r.URL.Query().Get("context")), nil })
	on("GET /v2/products/zones", func(*call) (any, error) { return zones(), nil })
	on("GET /v4/products/zones", func(*call) (any, error) { return zones(), nil })
	price := func(c *call) (any, error) { return priceSystem(c.r.URL.Query().Get("zone_id")), nil }
	on("GET /v4/billing/price-system", price)
	on("GET /v4/billing/organisations/{org}/price-system", price)
}

// serve reads the body, holds the lock while h runs, and writes its answer.
func (s *Server) serve(h handle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			answer(w, 0, nil, badRequest("The body could not be read"))
			return
		}
		c := &call{r: r, body: body, base: s.baseURL(r), now: now()}
		result, err := s.locked(h, c)
		answer(w, http.StatusOK, result, err)
	}
}

func (s *Server) locked(h handle, c *call) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return h(c)
}

// withToken lets through whoever shows the token of some organisation.
func (s *Server) withToken(h handle) handle {
	return func(c *call) (any, error) {
		c.org = s.orgWithToken(secretOf(c.r.Header.Get("Authorization")))
		if c.org == nil {
			return nil, notAuthenticated()
		}
		return h(c)
	}
}

// withOrg lets through whoever shows the token of the organisation in the path.
func (s *Server) withOrg(h handle) handle {
	return func(c *call) (any, error) {
		shown := secretOf(c.r.Header.Get("Authorization"))
		if s.orgWithToken(shown) == nil {
			return nil, notAuthenticated()
		}
		c.org = s.orgs[c.r.PathValue("org")]
		if c.org == nil {
			return nil, &problem{http.StatusNotFound, idNoSuchOrg, "The specified organisation doesn't exist"}
		}
		if !c.org.owns(shown) {
			return nil, &problem{http.StatusForbidden, idNotAuthorized, "You are not authorized to act for this organisation"}
		}
		return h(c)
	}
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
