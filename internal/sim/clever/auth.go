// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Where credentials are shown. Each is good for some of them only.
type door int

const (
	doorAPI    door = iota
	doorBridge      // for the holders of API tokens
	doorGit
)

// authenticate finds out who makes a request to the API or on the bridge. Needs s.mu.
func (s *Server) authenticate(c *call) (*identity, error) {
	scheme, rest, _ := strings.Cut(c.authorization(), " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(scheme) {
	case "":
		return nil, notAuthenticated("no credential was shown")
	case "token":
		if who := s.byOrganisationToken(rest); who != nil && c.door == doorAPI {
			who.ends = c.now.Add(credentialLife) // each use prolongs it
			return who, nil
		}
	case "bearer":
		if who := s.byBearer(c, rest); who != nil {
			return who, nil
		}
	case "oauth":
		if c.door == doorAPI || c.ownBridge() {
			return s.bySignature(c, rest)
		}
		return nil, notAuthenticated("the bridge takes API tokens only")
	default:
		return nil, notAuthenticated("the scheme %.20q is not known here", scheme)
	}
	return nil, notAuthenticated("the token is not known here")
}

// authorization is what a request shows: a header, or for what browsers open by
// themselves the same in base64 in the query.
func (c *call) authorization() string {
	if shown := c.r.Header.Get("Authorization"); shown != "" || c.r.Method != http.MethodGet {
		return shown
	}
	shown, err := base64.StdEncoding.DecodeString(c.r.URL.Query().Get("authorization"))
	if err != nil {
		return ""
	}
	return string(shown)
}

// ownBridge tells whether a request is for what the bridge serves itself, where users
// also sign as elsewhere.
func (c *call) ownBridge() bool { return strings.HasPrefix(c.r.URL.Path, "/api-tokens") }

// byBearer finds API tokens on the bridge and service tokens on the API, version 2.
func (s *Server) byBearer(c *call, token string) *identity {
	if c.door == doorBridge {
		return s.byAPIToken(token, c)
	}
	if strings.HasPrefix(c.r.URL.Path, "/v4/") {
		return nil
	}
	return s.byServiceToken(token, c.now)
}

func (s *Server) byAPIToken(token string, c *call) *identity {
	for _, u := range s.sortedUsers() {
		for _, t := range u.apiTokens {
			if equal(t.secret, token) && c.now.Before(t.ends) {
				who := u.identity()
				who.token, who.created, who.ends = t.id, t.created, t.ends
				return who
			}
		}
	}
	return nil
}

// byOrganisationToken finds whoever holds an organisation's own token: one token may be
// that of several.
func (s *Server) byOrganisationToken(token string) *identity {
	var orgs []string
	for _, id := range slices.Sorted(maps.Keys(s.orgs)) {
		if equal(s.orgs[id].token, token) {
			orgs = append(orgs, id)
		}
	}
	if orgs == nil {
		return nil
	}
	return robot(orgs...)
}

// byGit finds out who shows a user and password to git: a user's OAuth pair, or any user
// with an organisation's token or a service token. API tokens can't be used for git.
func (s *Server) byGit(r *http.Request) *identity {
	name, password, given := r.BasicAuth()
	if !given || name == "" {
		return nil
	}
	for _, u := range s.sortedUsers() {
		if equal(u.token, name) && equal(u.secret, password) && now().Before(u.ends) {
			return u.identity()
		}
	}
	if who := s.byOrganisationToken(password); who != nil {
		return who
	}
	return s.byServiceToken(password, now())
}

// equal compares secrets; an empty one equals nothing.
func equal(secret, shown string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(shown)) == 1
}
