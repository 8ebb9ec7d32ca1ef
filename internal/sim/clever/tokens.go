// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	idNoSuchToken = 4404 // the platform's own is not known
	maxTokenLife  = 365 * 24 * time.Hour
)

// serviceToken acts for one organisation.
type serviceToken struct {
	secret, org, id, name, description, role string
	resources                                []string // empty = all
	created, ends                            time.Time
}

type serviceTokenView struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Role        string    `json:"role"`
	Resources   []string  `json:"resources"`
	Status      string    `json:"status"`
	CreatedAt   time.Time `json:"createdAt"`
	ExpiredAt   time.Time `json:"expiredAt"`
}

// byServiceToken finds whoever holds a service token. Needs s.mu.
func (s *Server) byServiceToken(token string, at time.Time) *identity {
	for _, t := range s.serviceTokens {
		if equal(t.secret, token) && at.Before(t.ends) {
			who := robot(t.org)
			who.token, who.created, who.ends, who.service = t.id, t.created, t.ends, t
			return who
		}
	}
	return nil
}

// allows tells whether the token's role and resources are enough for a request. A nil
// token is somebody else's credential, which this does not limit.
func (t *serviceToken) allows(c *call) error {
	if t == nil || t.role == "ADMIN" && len(t.resources) == 0 {
		return nil
	}
	app, isApp := c.r.PathValue("app"), strings.Contains(c.r.URL.Path, "/applications")
	switch {
	case !isApp && strings.Contains(c.r.URL.Path, "/service-tokens") && t.role != "ADMIN",
		!isApp && strings.Contains(c.r.URL.Path, "/addons") && t.role != "ADMIN" && t.role != "MANAGER",
		isApp && t.role == "ACCOUNTING":
		return notAuthorized("The role %s of this token is not enough", t.role)
	case len(t.resources) > 0 && !slices.Contains(t.resources, app):
		return notAuthorized("This token is for other resources")
	}
	return nil
}

// pushes tells whether the token is good for an application's repository.
func (t *serviceToken) pushes(app string) bool {
	return t == nil || t.role != "ACCOUNTING" && (len(t.resources) == 0 || slices.Contains(t.resources, app))
}

func (t *serviceToken) view(at time.Time) serviceTokenView {
	v := serviceTokenView{t.id, t.name, t.description, t.role, append([]string{}, t.resources...), "ACTIVE", t.created, t.ends}
	if !at.Before(t.ends) {
		v.Status = "EXPIRED"
	}
	return v
}

func (s *Server) routeServiceTokens(on func(string, handle)) {
	const path = orgPath + "/service-tokens"
	on("GET "+path, func(c *call) (any, error) {
		list := []serviceTokenView{}
		for _, t := range s.serviceTokens {
			if t.org == c.org.id {
				list = append(list, t.view(c.now))
			}
		}
		return list, nil
	})
	on("POST "+path, s.createServiceToken)
	on("GET "+path+"/{token}", func(c *call) (any, error) {
		if i := s.serviceToken(c); i >= 0 {
			return s.serviceTokens[i].view(c.now), nil
		}
		return nil, notFound(idNoSuchToken, "The specified token doesn't exist")
	})
	on("DELETE "+path+"/{token}", func(c *call) (any, error) {
		i := s.serviceToken(c)
		if i < 0 {
			return nil, notFound(idNoSuchToken, "The specified token doesn't exist")
		}
		s.serviceTokens = slices.Delete(s.serviceTokens, i, i+1)
		return success(0, "The token has been revoked"), nil
	})
}

func (s *Server) serviceToken(c *call) int {
	return slices.IndexFunc(s.serviceTokens, func(t *serviceToken) bool {
		return t.org == c.org.id && t.id == c.r.PathValue("token")
	})
}

func (s *Server) createServiceToken(c *call) (any, error) {
	var body struct {
		Name, Role, Description string
		Resources               []string
		TTL                     *int64 `json:"ttl_seconds"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	life := credentialLife
	if body.TTL != nil {
		life = time.Duration(min(max(*body.TTL, 0), int64(maxTokenLife/time.Second)+1)) * time.Second
	}
	switch {
	case body.Name == "":
		return nil, badRequest("The name is missing")
	case !slices.Contains([]string{"ADMIN", "MANAGER", "DEVELOPER", "ACCOUNTING"}, body.Role):
		return nil, badRequest("The role %q does not exist", body.Role)
	case life <= 0 || life > maxTokenLife:
		return nil, badRequest("ttl_seconds must be between 1 and a year")
	}
	t := &serviceToken{
		secret: s.newID("sim-service"), org: c.org.id, id: s.newID("token"), name: body.Name, description: body.Description,
		role: body.Role, resources: body.Resources, created: c.now, ends: c.now.Add(life),
	}
	s.serviceTokens = append(s.serviceTokens, t)
	return map[string]any{"token": t.secret, "metadata": t.view(c.now)}, nil
}

// apiToken acts for a user, on the bridge.
type apiToken struct {
	id, secret, name, description string
	created, ends                 time.Time
}

type apiTokenView struct {
	ID          string    `json:"apiTokenId"`
	Token       string    `json:"apiToken,omitempty"` // shown once
	Name        string    `json:"name"`
	Description string    `json:"description"`
	IP          string    `json:"ip"`
	Created     time.Time `json:"creationDate"`
	Ends        time.Time `json:"expirationDate"`
	State       string    `json:"state"`
}

func (t *apiToken) view(at time.Time) apiTokenView {
	v := apiTokenView{ID: t.id, Name: t.name, Description: t.description, IP: "127.0.0.1", Created: t.created, Ends: t.ends, State: "ACTIVE"}
	if !at.Before(t.ends) {
		v.State = "EXPIRED"
	}
	return v
}

// routeAPITokens lists what the bridge serves itself. A token is made with the user's
// password, for which the simulator takes the OAuth secret.
func (s *Server) routeAPITokens(public, self func(string, handle)) {
	public("POST /api-tokens", s.createAPIToken)
	self("GET /api-tokens", func(c *call) (any, error) {
		list := []apiTokenView{}
		for _, t := range c.who.user.apiTokens {
			list = append(list, t.view(c.now))
		}
		return list, nil
	})
	one := func(change func(*call, *user, int) (any, error)) handle {
		return func(c *call) (any, error) {
			u := c.who.user
			i := slices.IndexFunc(u.apiTokens, func(t *apiToken) bool { return t.id == c.r.PathValue("token") })
			if i < 0 {
				return nil, notFound(idNoSuchToken, "The specified token doesn't exist")
			}
			return change(c, u, i)
		}
	}
	self("PUT /api-tokens/{token}", one(func(c *call, u *user, i int) (any, error) {
		var body struct{ Name, Description string }
		if err := c.decode(&body); err != nil {
			return nil, err
		}
		u.apiTokens[i].name, u.apiTokens[i].description = body.Name, body.Description
		return u.apiTokens[i].view(c.now), nil
	}))
	self("DELETE /api-tokens/{token}", one(func(_ *call, u *user, i int) (any, error) {
		u.apiTokens = slices.Delete(u.apiTokens, i, i+1)
		return success(0, "The token has been revoked"), nil
	}))
}

func (s *Server) createAPIToken(c *call) (any, error) {
	var body struct {
		Email, Password, Name, Description string
		ExpirationDate                     *time.Time
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.sortedUsers(), func(u *user) bool {
		return equal(u.identity().email, body.Email) && equal(u.secret, body.Password)
	})
	if i < 0 {
		return nil, refuse(http.StatusUnauthorized, idNotAuthenticated, "Email or password is wrong")
	}
	ends := c.now.Add(maxTokenLife)
	if body.ExpirationDate != nil {
		ends = *body.ExpirationDate
	}
	if body.Name == "" || !ends.After(c.now) || ends.After(c.now.Add(maxTokenLife)) {
		return nil, badRequest("A token needs a name and an expirationDate within a year")
	}
	u := s.sortedUsers()[i]
	t := &apiToken{id: s.newID("api_token"), secret: s.newID("sim-api"), name: body.Name, description: body.Description, created: c.now, ends: ends}
	u.apiTokens = append(u.apiTokens, t)
	v := t.view(c.now)
	v.Token = t.secret
	return v, nil
}
