// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"net/http"
	"slices"
	"time"
)

const idNoSuchHook = 4409 // the platform's own is not known

// hook is what an organisation wants to be told, and how. The simulator keeps it and
// tells nobody: it makes no requests of its own.
type hook struct {
	owner, kind, id string
	created         time.Time
	body            map[string]any
}

func (h *hook) view() map[string]any {
	v := map[string]any{"id": h.id, "ownerId": h.owner, "createdAt": h.created, "state": "ENABLED", "scope": []string{}}
	for _, name := range []string{"name", "urls", "notified", "events", "scope"} {
		if given := h.body[name]; given != nil {
			v[name] = given
		}
	}
	return v
}

// routeNotifications lists what can be done with webhooks and mails.
func (s *Server) routeNotifications(self, org func(string, handle)) {
	self("GET /v2/notifications/info/events", func(*call) (any, error) {
		return []string{
			"APPLICATION_CREATION", "APPLICATION_DELETION", "APPLICATION_EDITION", "APPLICATION_REDEPLOY", "APPLICATION_STOP",
			"DEPLOYMENT_ACTION_BEGIN", "DEPLOYMENT_ACTION_END", "DEPLOYMENT_SUCCESS", "DEPLOYMENT_FAIL", "GIT_PUSH",
			"ADDON_CREATION", "ADDON_DELETION", "CREDITS_ADDED", "CLEVER_TOOLS_REQUEST",
		}, nil
	})
	for _, kind := range []string{"webhooks", "emailhooks"} {
		path := "/v2/notifications/" + kind + "/{org}"
		org("GET "+path, func(c *call) (any, error) {
			list := []map[string]any{}
			for _, h := range s.hooks {
				if h.owner == c.org.id && h.kind == kind {
					list = append(list, h.view())
				}
			}
			return list, nil
		})
		org("POST "+path, func(c *call) (any, error) { return s.putHook(c, kind, nil) })
		one := func(change func(*call, int) (any, error)) handle {
			return func(c *call) (any, error) {
				i := slices.IndexFunc(s.hooks, func(h *hook) bool {
					return h.owner == c.org.id && h.kind == kind && h.id == c.r.PathValue("hook")
				})
				if i < 0 {
					return nil, notFound(idNoSuchHook, "The specified hook doesn't exist")
				}
				return change(c, i)
			}
		}
		org("PUT "+path+"/{hook}", one(func(c *call, i int) (any, error) { return s.putHook(c, kind, s.hooks[i]) }))
		org("DELETE "+path+"/{hook}", one(func(_ *call, i int) (any, error) {
			s.hooks = slices.Delete(s.hooks, i, i+1)
			return success(0, "The hook has been removed"), nil
		}))
	}
}

// putHook makes a hook, or changes one.
func (s *Server) putHook(c *call, kind string, h *hook) (any, error) {
	var body map[string]any
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	to := map[string]string{"webhooks": "urls", "emailhooks": "notified"}[kind]
	if list, ok := body[to].([]any); !ok || len(list) == 0 {
		return nil, &problem{Status: http.StatusBadRequest, ID: idBadRequest, Text: "Nobody to tell", Fields: map[string]string{to: "missing"}}
	}
	if h == nil {
		h = &hook{owner: c.org.id, kind: kind, id: s.newID("hook"), created: c.now}
		s.hooks = append(s.hooks, h)
	}
	h.body = body
	return h.view(), nil
}
