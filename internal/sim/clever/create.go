// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// create makes an application. As on the real platform nothing makes it
// idempotent: the same name twice gives two applications.
func (s *Server) create(c *call) (any, error) {
	var spec appSpec
	if err := c.decode(&spec); err != nil {
		return nil, err
	}
	if spec.Env != nil && s.world.RefuseEnvInBody {
		return nil, badRequest("The property env is not known")
	}
	variant, ok := s.variantOf(spec.InstanceType, spec.InstanceVersion, spec.InstanceVariant)
	if !ok {
		return nil, refuse(http.StatusBadRequest, idNoSuchInstance, "The specified instance does not exist")
	}
	if err := spec.complete(); err != nil {
		return nil, err
	}
	if s.world.MalformedCreates > 0 {
		s.world.MalformedCreates--
		c.cut = true
	}
	return s.view(c, s.add(c.org.id, spec, variant, c.now)), nil
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
		{&p.Branch, "master"},
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
func (s *Server) add(org string, spec appSpec, variant variantView, at time.Time) *application {
	id := s.newID("app")
	a := &application{
		id: id, org: org, spec: spec, variant: variant, env: map[string]string{}, exposed: map[string]string{}, tags: slices.Clone(spec.Tags),
		vhosts: []string{strings.ReplaceAll(id, "_", "-") + ".cleverapps.io/"},
		repo:   newRepository(), files: map[string]any{}, output: &tail{}, state: stateCreated, created: at,
	}
	maps.Copy(a.env, spec.Env)
	s.apps = append(s.apps, a)
	s.byID[id] = a
	s.log.Debug("application created", "app", id, "name", spec.Name)
	return a
}
