// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
)

const appPath = "/v2/organisations/{org}/applications/{app}"

// routeApplication lists what can be done with one application.
func (s *Server) routeApplication(on func(string, handle)) {
	on("GET "+appPath, func(c *call) (any, error) { return s.view(c, c.app), nil })
	on("PUT "+appPath, s.edit)
	on("DELETE "+appPath, s.remove)
	on("GET "+appPath+"/env", func(c *call) (any, error) { return c.app.envPairs(), nil })
	on("PUT "+appPath+"/env", s.putEnv)
	on("PUT "+appPath+"/env/{name}", s.putVariable)
	on("DELETE "+appPath+"/env/{name}", func(c *call) (any, error) {
		delete(c.app.env, c.r.PathValue("name"))
		return s.view(c, c.app), nil
	})
	on("GET "+appPath+"/addons/env", func(*call) (any, error) { return []any{}, nil })
	on("GET "+appPath+"/dependencies/env", func(*call) (any, error) { return []any{}, nil })
	on("GET "+appPath+"/dependencies", func(*call) (any, error) { return []any{}, nil })
	on("GET "+appPath+"/addons", func(*call) (any, error) { return []any{}, nil })
	on("PUT "+appPath+"/branch", func(c *call) (any, error) { return s.view(c, c.app), nil })
	s.routeTags(on)
	s.routeVhosts(on)
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
	on("GET "+appPath+"/vhosts/favourite", func(*call) (any, error) {
		return nil, &problem{http.StatusNotFound, idNoFavourite, "No favourite vhost"}
	})
	on("PUT "+appPath+"/vhosts/{domain}", func(c *call) (any, error) {
		if h := c.r.PathValue("domain"); !slices.Contains(c.app.vhosts, h) {
			c.app.vhosts = append(c.app.vhosts, h)
		}
		return success(0, "The vhost has been added"), nil
	})
	on("DELETE "+appPath+"/vhosts/{domain}", func(c *call) (any, error) {
		c.app.vhosts = slices.DeleteFunc(c.app.vhosts, func(h string) bool { return h == c.r.PathValue("domain") })
		return success(0, "The vhost has been removed"), nil
	})
}

// edit changes what the body names and keeps the rest.
func (s *Server) edit(c *call) (any, error) {
	spec := c.app.spec
	if err := c.decode(&spec); err != nil {
		return nil, err
	}
	if err := spec.complete(); err != nil {
		return nil, err
	}
	spec.InstanceType, spec.InstanceVersion = c.app.spec.InstanceType, c.app.spec.InstanceVersion
	c.app.spec = spec
	return s.view(c, c.app), nil
}

// putEnv replaces all variables. With ?check=true it only says whether it would.
func (s *Server) putEnv(c *call) (any, error) {
	var raw map[string]json.RawMessage
	if err := c.decode(&raw); err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(raw)) {
		var v string
		if json.Unmarshal(raw[k], &v) != nil {
			return nil, badRequest("The value of %s is not a string", k)
		}
		env[k] = v
	}
	if c.r.URL.Query().Get("check") != "true" {
		c.app.env = env
	}
	return s.view(c, c.app), nil
}

func (s *Server) putVariable(c *call) (any, error) {
	var v struct {
		Value string `json:"value"`
	}
	if err := c.decode(&v); err != nil {
		return nil, err
	}
	c.app.env[c.r.PathValue("name")] = v.Value
	return s.view(c, c.app), nil
}

// remove deletes an application from every state; its machine goes at once.
func (s *Server) remove(c *call) (any, error) {
	a := c.app
	if a.destroy != nil {
		a.destroy()
	}
	a.stop(a.current(), c.now)
	for _, d := range a.history {
		if d.state == "WIP" || d.state == "TASK_RUNNING" {
			d.state = "CANCELLED"
		}
	}
	a.state, a.deleted = stateDeleted, c.now
	s.forget(a)
	s.log.Debug("application deleted", "app", a.id, "name", a.spec.Name)
	return success(idDeleted, "The application has successfully been deleted."), nil
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
