// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"crypto/subtle"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// gate decides who may ask what. Source first, then path, then token:
//
//	own addresses   POST  jobs/request           the stand-in token; answered here
//	                GET   runners/router/discovery   answered here (501)
//	                PATCH jobs/<this>/trace      this job's token
//	                PUT   jobs/<this>            this job's token
//	                and what everybody may
//	everybody       POST  jobs/<this>/artifacts  this job's token
//	                GET   jobs/<a dependency>/artifacts   that dependency's token
//
// All else is 403, whoever asks. The job's own code runs in containers beside ours:
// it is "everybody", though it has the job's token.
type gate struct {
	job  *job
	own  func(remote, local net.Addr) bool
	desk desk
	busy busy
}

// desk serves what the gate lets in.
type desk interface {
	request(w http.ResponseWriter, r *http.Request)
	patch(w http.ResponseWriter, r *http.Request)
	put(w http.ResponseWriter, r *http.Request)
	upload(w http.ResponseWriter, r *http.Request)
	download(w http.ResponseWriter, r *http.Request, id int64)
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.busy.enter() {
		panic(http.ErrAbortHandler) // closing: the connection is as good as gone
	}
	defer g.busy.leave()
	// The text as it was sent: nothing is cleaned, decoded or joined first.
	path, _, _ := strings.Cut(r.RequestURI, "?")
	rest, ok := strings.CutPrefix(path, "/api/v4/")
	if !ok {
		refuse(w)
		return
	}
	this := "jobs/" + strconv.FormatInt(g.job.id, 10)
	switch r.Method + " " + rest {
	case "POST " + this + "/artifacts":
		g.withToken(w, r, g.job.token, g.desk.upload)
		return
	case "POST jobs/request", "GET runners/router/discovery", "PATCH " + this + "/trace", "PUT " + this:
		g.ownOnly(w, r)
		return
	}
	if id, token, ok := g.dependency(rest); ok && r.Method == http.MethodGet {
		g.withToken(w, r, token, func(w http.ResponseWriter, r *http.Request) { g.desk.download(w, r, id) })
		return
	}
	refuse(w)
}

// ownOnly serves what only the sub-runner, which shares our addresses, may ask.
func (g *gate) ownOnly(w http.ResponseWriter, r *http.Request) {
	if !g.isOwn(r) {
		refuse(w)
		return
	}
	switch {
	case r.Method == http.MethodPost:
		g.desk.request(w, r)
	case r.Method == http.MethodGet:
		write(w, failure(http.StatusNotImplemented))
	case r.Method == http.MethodPatch:
		g.withToken(w, r, g.job.token, g.desk.patch)
	default:
		g.desk.put(w, r) // its token is in the body
	}
}

func (g *gate) withToken(w http.ResponseWriter, r *http.Request, token string, next http.HandlerFunc) {
	if !same(r.Header.Get("Job-Token"), token) {
		refuse(w)
		return
	}
	next(w, r)
}

// dependency reads jobs/<id>/artifacts where the id is one the job depends on.
func (g *gate) dependency(rest string) (id int64, token string, ok bool) {
	digits, found := strings.CutPrefix(rest, "jobs/")
	if !found {
		return 0, "", false
	}
	if digits, found = strings.CutSuffix(digits, "/artifacts"); !found {
		return 0, "", false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strconv.FormatInt(id, 10) != digits {
		return 0, "", false
	}
	token, ok = g.job.dependencies[id]
	return id, token, ok
}

// isOwn tells whether a request comes from this very container (or computer).
func (g *gate) isOwn(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return false
	}
	return g.own(textAddr(r.RemoteAddr), local)
}

// textAddr is an address of which only the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

// sharesAddress is true when both ends of a connection have the same address: the
// kernel gives a connection to an own address that address as its source, and drops
// foreign packets that claim it.
func sharesAddress(remote, local net.Addr) bool {
	return host(remote) == host(local)
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func refuse(w http.ResponseWriter) {
	w.Header().Set("Connection", "close") // nobody holds what is refused
	write(w, failure(http.StatusForbidden))
}

// passed gives the request headers that go on to the coordinator. Private-Token is
// where old runners put the job's token; nothing else is let through in it.
func passed(h http.Header, token string) http.Header {
	out := http.Header{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Content-Type", "Expect", "Job-Token", "User-Agent", "X-Request-Id",
	} {
		if v, ok := h[name]; ok {
			out[name] = v[:1]
		}
	}
	if same(h.Get("Private-Token"), token) {
		out.Set("Private-Token", token)
	}
	return out
}

// known gives the query parameters that go on, as they were spelt by their sender's
// rules of encoding.
func known(r *http.Request, names ...string) string {
	out := url.Values{}
	for _, name := range names {
		if v, ok := r.URL.Query()[name]; ok {
			out[name] = v[:1]
		}
	}
	return out.Encode()
}

// hopByHop are the headers that belong to one connection.
func hopByHop() []string {
	return []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Set-Cookie"}
}

// answerHeader copies an answer's headers for the other side.
func answerHeader(w http.ResponseWriter, from http.Header) {
	to := w.Header()
	maps.Copy(to, from)
	for _, name := range hopByHop() {
		delete(to, name)
	}
}

// write sends an answer that is held whole.
func write(w http.ResponseWriter, r reply) {
	answerHeader(w, r.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	if r.status == http.StatusNoContent {
		w.Header().Del("Content-Length")
	}
	w.WriteHeader(r.status)
	w.Write(r.body) // an error means that the asker has left
}
