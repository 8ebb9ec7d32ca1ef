// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"net/http"
	"strings"
)

const (
	orgPath   = "/v2/organisations/{org}"
	appPath   = orgPath + "/applications/{app}"
	v4AppPath = "/v4/orchestration/organisations/{org}/applications/{app}"
)

// routes is the list of everything that the platform answers.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	public := func(pattern string, h handle) { mux.HandleFunc(pattern, s.serve(h)) }
	self := func(pattern string, h handle) { mux.HandleFunc(pattern, s.serve(s.withWho(h))) }
	org := func(pattern string, h handle) { s.owned(mux, pattern, s.withOrg(h)) }
	app := func(pattern string, h handle) { s.owned(mux, pattern, s.withOrg(s.withApp(h))) }
	s.routeCatalog(public)
	s.routeAPITokens(public, self)
	s.routeSelf(self)
	s.routeOrganisation(org)
	s.routeServiceTokens(org)
	s.routeAddons(org, app)
	s.routeNotifications(self, org)
	s.routeApplication(app)
	s.routeDeployments(app)
	s.routeInstances(app)
	mux.HandleFunc("GET /v4/logs/organisations/{org}/applications/{app}/logs", s.logs)
	mux.HandleFunc("/", noRoute)
	return s.doors(mux)
}

func noRoute(w http.ResponseWriter, r *http.Request) {
	answer(w, r, nil, notFound(idNoRoute, "No such route"))
}

// owned serves a pattern below /organisations/{org}, and in version 2 below /self too,
// where the user's personal space is meant.
func (s *Server) owned(mux *http.ServeMux, pattern string, h handle) {
	mux.HandleFunc(pattern, s.serve(h))
	method, path, _ := strings.Cut(pattern, " ")
	if below, ok := strings.CutPrefix(path, orgPath+"/"); ok {
		mux.HandleFunc(method+" /v2/self/"+below, s.serve(h))
	}
}

// doors leads to the API, to the bridge, which serves the same to the holders of API
// tokens, to git, and to what controls the simulator.
func (s *Server) doors(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api-tokens", noRoute) // the bridge's alone
	mux.HandleFunc("/api-tokens/", noRoute)
	mux.Handle("/", at(doorAPI, api))
	bridge := http.StripPrefix("/bridge", at(doorBridge, api))
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} { // it does not pass on PATCH
		for _, below := range []string{"v2/", "v4/", "api-tokens", "api-tokens/"} {
			mux.Handle(method+" /bridge/"+below, bridge)
		}
	}
	mux.HandleFunc("/bridge/", noRoute)
	mux.HandleFunc("GET /git/{repo}/info/refs", s.gitRefs)
	mux.HandleFunc("POST /git/{repo}/git-upload-pack", s.gitUploadPack)
	mux.HandleFunc("POST /git/{repo}/git-receive-pack", s.gitReceivePack)
	s.routeControl(mux)
	s.routeCredentials(mux)
	s.routeWorld(mux)
	return mux
}
