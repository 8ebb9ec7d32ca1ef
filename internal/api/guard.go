// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// guard lets pass who may read the service's state: with a token, who has it; without
// one, programs of this computer.
func (s *Server) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.cfg.Token.Empty():
			if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(s.cfg.Token.Reveal())) != 1 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				problem(w, http.StatusUnauthorized, "this page needs the token of the status listener as a bearer")
				return
			}
		case !fromHere(r):
			problem(w, http.StatusForbidden, "the status listener has no token, so this page is served to its own computer only")
			return
		case !localName(r.Host):
			problem(w, http.StatusForbidden, "the status listener has no token, so this page is served under localhost or a loopback address only")
			return
		}
		next(w, r)
	})
}

// bearer gives the request's bearer token, "" if there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// localName tells whether a Host header names this computer.
func localName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// fromHere tells whether a request comes from this computer, and not from somewhere
// else through a proxy on it.
func fromHere(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if len(r.Header.Values(header)) > 0 {
			return false
		}
	}
	return loopback(r.RemoteAddr)
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// sameOrigin keeps the pages of others in somebody's browser from asking for anything that
// changes something. Browsers say where such a request comes from; programs don't.
func sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "a page of another origin asks")
	}))
	return protection.Handler(next)
}
