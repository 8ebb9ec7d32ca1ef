// SPDX-License-Identifier: Apache-2.0

package clever

import "slices"

// routeDependencies lists what links applications: one gets the variables that another
// publishes.
func (s *Server) routeDependencies(on func(string, handle)) {
	other := func(h func(*call, *application) (any, error)) handle {
		return func(c *call) (any, error) {
			a := s.byID[c.r.PathValue("other")]
			if a == nil || a.state == stateDeleted || a.org != c.org.id || a == c.app {
				return nil, noSuchApp()
			}
			return h(c, a)
		}
	}
	on("GET "+appNeedsPath, func(c *call) (any, error) {
		return s.views(c, func(a *application) bool { return slices.Contains(c.app.needs, a.id) }), nil
	})
	on("GET "+appPath+"/dependents", func(c *call) (any, error) {
		return s.views(c, func(a *application) bool { return slices.Contains(a.needs, c.app.id) }), nil
	})
	on("PUT "+appNeedsPath+"/{other}", other(func(c *call, a *application) (any, error) {
		if !slices.Contains(c.app.needs, a.id) {
			c.app.needs = append(c.app.needs, a.id)
		}
		return success(0, "The application has been linked"), nil
	}))
	on("DELETE "+appNeedsPath+"/{other}", other(func(c *call, a *application) (any, error) {
		c.app.needs = slices.DeleteFunc(c.app.needs, func(id string) bool { return id == a.id })
		return success(0, "The application has been unlinked"), nil
	}))
	on("GET "+appNeedsPath+"/env", func(c *call) (any, error) {
		type published struct {
			ID   string    `json:"app_id"`
			Name string    `json:"app_name"`
			Env  []envPair `json:"env"`
		}
		list := []published{}
		for _, a := range s.apps {
			if slices.Contains(c.app.needs, a.id) && a.state != stateDeleted {
				list = append(list, published{a.id, a.spec.Name, pairs(a.exposed)})
			}
		}
		return list, nil
	})
}

func (s *Server) views(c *call, which func(*application) bool) []appView {
	list := []appView{}
	for _, a := range s.apps {
		if a.state != stateDeleted && which(a) {
			list = append(list, s.view(c, a))
		}
	}
	return list
}
