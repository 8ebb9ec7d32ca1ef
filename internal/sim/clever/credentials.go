// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/sim/fault"
)

// The credentials that exist from the start.
const (
	FirstOrganisation = "orga_sim"
	FirstToken        = "sim-cc-token" // the organisation's own: `Authorization: token`, and git's password

	FirstUser      = "user_sim" // a member of the first organisation
	ConsumerKey    = "sim-consumer-key"
	ConsumerSecret = "sim-consumer-secret"
	OAuthToken     = "sim-oauth-token"  // of the user, git's user name too
	OAuthSecret    = "sim-oauth-secret" // and git's password
	APIToken       = "sim-api-token"    // of the user, Bearer on the bridge only, never for git

	ServiceToken = "sim-service-token" // the first organisation's, Bearer on the API itself, git's password too
)

const credentialLife = 90 * 24 * time.Hour

// organisation is an owner of applications: a tenant, or the personal space of a user.
type organisation struct {
	id       string
	token    string // "" = none
	personal bool
}

// user is a person, or a robot that has an account like one.
type user struct {
	id, token, secret string
	orgs              []string // is a member of
	apiTokens         []*apiToken
	created, ends     time.Time // of the OAuth token
}

// User is the body of PUT /_sim/users/ID.
type User struct {
	Token         string   `json:"token"`
	Secret        string   `json:"secret"`
	APIToken      string   `json:"api_token"`
	Organisations []string `json:"organisations"`
}

// identity is who made a request.
type identity struct {
	id, name, email string
	token           string // as shown back to its holder
	created, ends   time.Time
	orgs            []string      // may act for; the personal space is one of them
	personal        string        // "" = has none
	user            *user         // nil for an organisation's token
	service         *serviceToken // nil unless it is one
}

func (i *identity) actsFor(owner string) bool { return slices.Contains(i.orgs, owner) }

func (u *user) identity() *identity {
	return &identity{
		id: u.id, name: "Robot " + u.id, email: u.id + "@sim.invalid", token: u.token, created: u.created, ends: u.ends,
		orgs: append(slices.Clone(u.orgs), u.id), personal: u.id, user: u,
	}
}

// robot is who the holder of an organisation's own credential is.
func robot(orgs ...string) *identity {
	id := "user_" + strings.TrimPrefix(orgs[0], "orga_")
	return &identity{id: id, name: "Robot of " + orgs[0], email: id + "@sim.invalid", token: "organisation", orgs: orgs}
}

// foundCredentials makes what exists from the start.
func (s *Server) foundCredentials() {
	s.orgs[FirstOrganisation] = &organisation{id: FirstOrganisation, token: FirstToken}
	s.consumers[ConsumerKey] = ConsumerSecret
	s.setUser(FirstUser, User{OAuthToken, OAuthSecret, APIToken, []string{FirstOrganisation}})
	s.serviceTokens = []*serviceToken{{
		secret: ServiceToken, org: FirstOrganisation, id: "token_sim", name: "sim", role: "ADMIN",
		created: now(), ends: now().Add(credentialLife),
	}}
}

// setUser adds a user or replaces one. Needs s.mu.
func (s *Server) setUser(id string, u User) {
	made := &user{id: id, token: u.Token, secret: u.Secret, orgs: slices.Clone(u.Organisations), created: now(), ends: now().Add(credentialLife)}
	if u.APIToken != "" {
		made.apiTokens = []*apiToken{{id: "api_token_" + id, secret: u.APIToken, name: "sim", created: made.created, ends: made.ends}}
	}
	s.users[id] = made
	s.orgs[id] = &organisation{id: id, personal: true}
}

// SetUser adds a user or replaces one; an empty APIToken is none.
func (s *Server) SetUser(id string, u User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch taken := s.orgs[id]; {
	case id == "" || u.Token == "" || u.Secret == "":
		return errors.New("a user needs an id, token and secret")
	case taken != nil && !taken.personal:
		return errors.New("is an organisation: " + id)
	}
	for _, org := range u.Organisations {
		if s.orgs[org] == nil || s.orgs[org].personal {
			return errors.New("no such organisation: " + org)
		}
	}
	s.setUser(id, u)
	return nil
}

// SetConsumer adds a pair by which programs sign, or changes its secret.
func (s *Server) SetConsumer(key, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consumers[key] = secret
}

// SetOrganisation adds an organisation, or gives it another token.
func (s *Server) SetOrganisation(id, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orgs[id] = &organisation{id: id, token: token}
}

// sortedUsers lists the users by id. Needs s.mu.
func (s *Server) sortedUsers() []*user {
	var list []*user
	for _, id := range slices.Sorted(maps.Keys(s.users)) {
		list = append(list, s.users[id])
	}
	return list
}

// routeCredentials lists the control endpoints that add credentials.
func (s *Server) routeCredentials(mux *http.ServeMux) {
	mux.HandleFunc("PUT /_sim/organisations/{id}", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Token string `json:"token"`
		}
		err := fault.Decode(r, &body)
		if err == nil && body.Token == "" {
			err = errors.New("the token is missing")
		}
		added(w, r, err, func() error { s.SetOrganisation(r.PathValue("id"), body.Token); return nil })
	})
	mux.HandleFunc("PUT /_sim/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		var body User
		err := fault.Decode(r, &body)
		added(w, r, err, func() error { return s.SetUser(r.PathValue("id"), body) })
	})
	mux.HandleFunc("PUT /_sim/consumers/{id}", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Secret string `json:"secret"`
		}
		err := fault.Decode(r, &body)
		if err == nil && body.Secret == "" {
			err = errors.New("the secret is missing")
		}
		added(w, r, err, func() error { s.SetConsumer(r.PathValue("id"), body.Secret); return nil })
	})
}

func added(w http.ResponseWriter, r *http.Request, err error, add func() error) {
	if err == nil {
		err = add()
	}
	if err != nil {
		fault.Refuse(w, err)
		return
	}
	fault.Answer(w, http.StatusOK, map[string]string{"id": r.PathValue("id")})
}
