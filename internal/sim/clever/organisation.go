// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

type orgView struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Avatar string `json:"avatar"`
}

type userView struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

type summaryApp struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	VariantSlug string `json:"variantSlug"`
	VariantLogo string `json:"variantLogo"`
	State       string `json:"state"`
	CommitID    string `json:"commit"`
}

type summaryOrg struct {
	orgView
	Applications []summaryApp `json:"applications"`
	Addons       []any        `json:"addons"`
	Consumers    []any        `json:"consumers"`
}

type summaryView struct {
	User struct {
		userView
		Applications []summaryApp `json:"applications"`
		Addons       []any        `json:"addons"`
		Consumers    []any        `json:"consumers"`
	} `json:"user"`
	Organisations []summaryOrg `json:"organisations"`
}

func (o *organisation) user() userView {
	return userView{ID: "user_" + strings.TrimPrefix(o.id, "orga_"), Name: "Robot of " + o.id, Email: "robot@" + o.id + ".invalid"}
}

func (s *Server) routeSelf(on func(string, handle)) {
	on("GET /v2/self", func(c *call) (any, error) { return c.org.user(), nil })
	on("GET /v2/self/id", func(c *call) (any, error) { return map[string]string{"id": c.org.user().ID}, nil })
	on("GET /v2/self/tokens/current", func(c *call) (any, error) {
		return map[string]any{"token": "sim", "expirationDate": c.now.AddDate(0, 3, 0).UnixMilli()}, nil
	})
	on("GET /v2/summary", s.summary)
	on("GET /v2/organisations", func(c *call) (any, error) { return []orgView{{ID: c.org.id, Name: c.org.id}}, nil })
}

func (s *Server) summary(c *call) (any, error) {
	var v summaryView
	v.User.userView = c.org.user()
	v.User.Applications, v.User.Addons, v.User.Consumers = []summaryApp{}, []any{}, []any{}
	org := summaryOrg{orgView: orgView{ID: c.org.id, Name: c.org.id}, Applications: []summaryApp{}, Addons: []any{}, Consumers: []any{}}
	for _, a := range s.live(c.org.id) {
		org.Applications = append(org.Applications, summaryApp{
			ID: a.id, Name: a.spec.Name, VariantSlug: a.variant.Slug, State: a.platformState(),
		})
	}
	v.Organisations = []summaryOrg{org}
	return v, nil
}

func (s *Server) routeOrganisation(on func(string, handle)) {
	on("GET /v2/organisations/{org}", func(c *call) (any, error) { return orgView{ID: c.org.id, Name: c.org.id}, nil })
	on("GET /v2/organisations/{org}/applications", s.list)
	on("POST /v2/organisations/{org}/applications", s.create)
	on("GET /v2/organisations/{org}/addons", func(*call) (any, error) { return []any{}, nil })
}

// live lists the applications of an organisation that exist. Needs s.mu.
func (s *Server) live(org string) []*application {
	var list []*application
	for _, a := range s.apps {
		if a.org == org && a.state != stateDeleted {
			list = append(list, a)
		}
	}
	return list
}

func (s *Server) list(c *call) (any, error) {
	views := []appView{}
	for _, a := range s.live(c.org.id) {
		views = append(views, s.view(c, a))
	}
	return views, nil
}

// create makes an application. As on the real platform nothing makes it
// idempotent: the same name twice gives two applications.
func (s *Server) create(c *call) (any, error) {
	var spec appSpec
	if err := c.decode(&spec); err != nil {
		return nil, err
	}
	variant, ok := variantOf(spec.InstanceType, spec.InstanceVersion, spec.InstanceVariant)
	if !ok {
		return nil, &problem{http.StatusBadRequest, idNoSuchInstance, "The specified instance does not exist"}
	}
	if err := spec.complete(); err != nil {
		return nil, err
	}
	return s.view(c, s.add(c.org.id, spec, variant)), nil
}

// complete checks what a client said and fills in what it left out.
func (p *appSpec) complete() error {
	if strings.TrimSpace(p.Name) == "" {
		return badRequest("The name is missing")
	}
	defaults := []struct {
		field *string
		value string
	}{
		{&p.Zone, "par"}, {&p.MinFlavor, "XS"}, {&p.MaxFlavor, p.MinFlavor}, {&p.BuildFlavor, "M"},
		{&p.InstanceLifetime, "REGULAR"}, {&p.Deploy, "git"}, {&p.ForceHTTPS, "DISABLED"}, {&p.Description, p.Name},
	}
	for _, d := range defaults {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if p.MaxFlavor == "" {
		p.MaxFlavor = p.MinFlavor
	}
	for _, name := range []string{p.MinFlavor, p.MaxFlavor, p.BuildFlavor} {
		if _, ok := flavorNamed(name); !ok {
			return badRequest("The flavor %q does not exist", name)
		}
	}
	if !slices.ContainsFunc(zones(), func(z zoneView) bool { return z.Name == p.Zone }) {
		return badRequest("The zone %q does not exist", p.Zone)
	}
	if !slices.Contains([]string{"REGULAR", "TASK", "MIGRATION"}, p.InstanceLifetime) {
		return badRequest("The instanceLifetime %q does not exist", p.InstanceLifetime)
	}
	p.MinInstances, p.MaxInstances = max(p.MinInstances, 1), max(p.MaxInstances, 1)
	return nil
}

// add puts an application into the world. Needs s.mu.
func (s *Server) add(org string, spec appSpec, variant variantView) *application {
	id := s.newID("app")
	a := &application{
		id: id, org: org, spec: spec, variant: variant, env: map[string]string{}, tags: slices.Clone(spec.Tags),
		vhosts: []string{strings.ReplaceAll(id, "_", "-") + ".cleverapps.io/"},
		repo:   newRepository(), files: map[string]any{}, output: &tail{}, state: stateCreated, created: now(),
	}
	maps.Copy(a.env, spec.Env)
	s.apps = append(s.apps, a)
	s.byID[id] = a
	s.log.Debug("application created", "app", id, "name", spec.Name)
	return a
}
