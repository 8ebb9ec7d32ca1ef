// SPDX-License-Identifier: Apache-2.0

package clever

import "slices"

// routeApplication lists what can be done with one application.
func (s *Server) routeApplication(on func(string, handle)) {
	on("GET "+appPath, func(c *call) (any, error) { return s.view(c, c.app), nil })
	on("PUT "+appPath, s.edit)
	on("DELETE "+appPath, s.remove)
	on("GET "+appPath+"/branches", func(c *call) (any, error) { return []string{c.app.spec.Branch}, nil })
	on("PUT "+appPath+"/branch", s.setBranch)
	on("PUT "+appPath+"/buildflavor", s.setBuildFlavor)
	s.routeEnv(on)
	s.routeTags(on)
	s.routeVhosts(on)
	s.routeDependencies(on)
}

// edit changes what the body names and keeps the rest.
func (s *Server) edit(c *call) (any, error) {
	spec := c.app.spec
	spec.Env = nil
	if err := c.decode(&spec); err != nil {
		return nil, err
	}
	if err := spec.complete(); err != nil {
		return nil, err
	}
	spec.InstanceType, spec.InstanceVersion = c.app.spec.InstanceType, c.app.spec.InstanceVersion
	spec.InstanceVariant = c.app.spec.InstanceVariant
	c.app.spec = spec
	return s.view(c, c.app), nil
}

func (s *Server) setBranch(c *call) (any, error) {
	var body struct {
		Branch string `json:"branch"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Branch == "" {
		return nil, badRequest("The branch is missing")
	}
	c.app.spec.Branch = body.Branch
	return s.view(c, c.app), nil
}

func (s *Server) setBuildFlavor(c *call) (any, error) {
	var body struct {
		Name string `json:"flavorName"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if _, ok := flavorNamed(body.Name); !ok {
		return nil, badRequest("The flavor %q does not exist", body.Name)
	}
	c.app.spec.BuildFlavor, c.app.spec.SeparateBuild = body.Name, true
	return s.view(c, c.app), nil
}

func (s *Server) routeTags(on func(string, handle)) {
	tags := func(c *call) (any, error) { return append([]string{}, c.app.tags...), nil }
	on("GET "+appPath+"/tags", tags)
	on("PUT "+appPath+"/tags", func(c *call) (any, error) {
		var list []string
		if err := c.decode(&list); err != nil {
			return nil, err
		}
		c.app.tags = list
		return tags(c)
	})
	on("PUT "+appPath+"/tags/{tag}", func(c *call) (any, error) {
		if tag := c.r.PathValue("tag"); !slices.Contains(c.app.tags, tag) {
			c.app.tags = append(c.app.tags, tag)
		}
		return tags(c)
	})
	on("DELETE "+appPath+"/tags/{tag}", func(c *call) (any, error) {
		c.app.tags = slices.DeleteFunc(c.app.tags, func(t string) bool { return t == c.r.PathValue("tag") })
		return tags(c)
	})
}

func (s *Server) routeVhosts(on func(string, handle)) {
	on("GET "+appPath+"/vhosts", func(c *call) (any, error) {
		list := []vhostView{}
		for _, h := range c.app.vhosts {
			list = append(list, vhostView{h})
		}
		return list, nil
	})
	on("GET "+appPath+"/vhosts/favourite", func(c *call) (any, error) {
		if c.app.favourite == "" {
			return nil, notFound(idNoFavourite, "No favourite vhost")
		}
		return vhostView{c.app.favourite}, nil
	})
	on("PUT "+appPath+"/vhosts/favourite", func(c *call) (any, error) {
		var body vhostView
		if err := c.decode(&body); err != nil {
			return nil, err
		}
		if !slices.Contains(c.app.vhosts, body.FQDN) {
			return nil, badRequest("The vhost %q is not one of this application", body.FQDN)
		}
		c.app.favourite = body.FQDN
		return body, nil
	})
	on("DELETE "+appPath+"/vhosts/favourite", func(c *call) (any, error) {
		c.app.favourite = ""
		return success(0, "The favourite vhost has been removed"), nil
	})
	on("PUT "+appPath+"/vhosts/{domain}", func(c *call) (any, error) {
		if h := c.r.PathValue("domain"); !slices.Contains(c.app.vhosts, h) {
			c.app.vhosts = append(c.app.vhosts, h)
		}
		return success(0, "The vhost has been added"), nil
	})
	on("DELETE "+appPath+"/vhosts/{domain}", func(c *call) (any, error) {
		h := c.r.PathValue("domain")
		if c.app.favourite == h {
			c.app.favourite = ""
		}
		c.app.vhosts = slices.DeleteFunc(c.app.vhosts, func(other string) bool { return other == h })
		return success(0, "The vhost has been removed"), nil
	})
}

// remove deletes an application from every state; its machine is told to end.
func (s *Server) remove(c *call) (any, error) {
	done := success(idDeleted, "The application has successfully been deleted.")
	if s.world.IgnoreDelete > 0 {
		s.world.IgnoreDelete--
		return done, nil
	}
	a := c.app
	a.cancel(c.now)
	a.halt(c.now, c.now.Add(seconds(s.world.StopSeconds)))
	a.state, a.deleted = stateDeleted, c.now
	s.forget(a)
	s.log.Debug("application deleted", "app", a.id, "name", a.spec.Name)
	return done, nil
}

// forget gives back the memory of a deleted application's repository; what the
// control endpoint shows stays. Needs s.mu.
func (s *Server) forget(a *application) {
	a.pushed = nil
	for _, d := range a.history {
		d.files = nil
	}
	s.pool.release(a.repo)
}
