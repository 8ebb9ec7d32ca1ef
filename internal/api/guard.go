// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// guard lets pass who may read the service's state.
func (s *Server) guard(loopback bool, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.cfg.Token.Empty():
			if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(s.cfg.Token.Reveal())) != 1 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				problem(w, http.StatusUnauthorized, "this page needs the token of the status listener as a bearer")
				return
			}
		case !loopback:
			problem(w, http.StatusForbidden, "the status listener has no token, so this page is served on a loopback address only")
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

// isLoopback tells whether a listener can be reached from this computer only.
func isLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
