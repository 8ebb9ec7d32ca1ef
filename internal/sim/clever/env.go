// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
)

const variableName = `^[A-Za-z_][A-Za-z0-9_.-]*$`

// routeEnv lists what can be done with an application's variables.
func (s *Server) routeEnv(on func(string, handle)) {
	on("GET "+appPath+"/env", func(c *call) (any, error) { return pairs(c.app.env), nil })
	on("PUT "+appPath+"/env", s.putEnv)
	on("PUT "+appPath+"/env/{name}", s.putVariable)
	on("DELETE "+appPath+"/env/{name}", func(c *call) (any, error) {
		delete(c.app.env, c.r.PathValue("name"))
		return s.view(c, c.app), nil
	})
	on("GET "+appPath+"/exposed_env", func(c *call) (any, error) { return c.app.exposed, nil })
	on("PUT "+appPath+"/exposed_env", func(c *call) (any, error) {
		env, err := c.variables()
		if err != nil {
			return nil, err
		}
		c.app.exposed = env
		return success(0, "The published variables have been changed"), nil
	})
}

func pairs(env map[string]string) []envPair {
	list := []envPair{}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, envPair{k, env[k]})
	}
	return list
}

// variables reads a body of names and values.
func (c *call) variables() (map[string]string, error) {
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
	return env, nil
}

// putEnv replaces all variables. With ?check=true it only says whether it would.
func (s *Server) putEnv(c *call) (any, error) {
	env, err := c.variables()
	if err != nil {
		return nil, err
	}
	if c.r.URL.Query().Get("check") != "true" {
		c.app.env = env
		return s.view(c, c.app), nil
	}
	wrong := map[string]string{}
	for name := range env {
		if !regexp.MustCompile(variableName).MatchString(name) {
			wrong[name] = "The name is not valid"
		}
	}
	if len(wrong) > 0 {
		return nil, &problem{Status: http.StatusBadRequest, ID: idInvalidEnv, Text: "The environment is not valid", Fields: wrong}
	}
	return s.view(c, c.app), nil
}

func (s *Server) putVariable(c *call) (any, error) {
	var v struct {
		Value *string `json:"value"`
	}
	if err := c.decode(&v); err != nil {
		return nil, err
	}
	if v.Value == nil {
		return nil, badRequest("The value is missing")
	}
	c.app.env[c.r.PathValue("name")] = *v.Value
	return s.view(c, c.app), nil
}

// givenEnv are the variables that an application gets from what it is linked to; its own
// win over them. Needs s.mu.
func (s *Server) givenEnv(a *application) map[string]string {
	env := map[string]string{}
	for _, id := range a.needs {
		if other := s.byID[id]; other != nil && other.state != stateDeleted {
			maps.Copy(env, other.exposed)
		}
	}
	for _, x := range s.addons {
		if slices.Contains(a.linked, x.id) {
			maps.Copy(env, x.env)
		}
	}
	return env
}
