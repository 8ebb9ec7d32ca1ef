// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	defaultDeployments = 10 // how many a list without a limit shows
	v4AppPath          = "/v4/orchestration/organisations/{org}/applications/{app}"
)

type authorView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type deploymentView struct {
	ID        int        `json:"id"`
	UUID      string     `json:"uuid"`
	Date      int64      `json:"date"`
	State     string     `json:"state"`
	Action    string     `json:"action"`
	Commit    string     `json:"commit"`
	Cause     string     `json:"cause"`
	Instances int        `json:"instances"`
	Author    authorView `json:"author"`
}

func (d *deployment) view(a *application) deploymentView {
	return deploymentView{
		ID: d.n, UUID: d.uuid, Date: d.at.UnixMilli(), State: d.state, Action: d.action, Commit: d.commit,
		Cause: d.cause, Instances: 1, Author: authorView{"user_" + a.org, a.org},
	}
}

func (s *Server) routeDeployments(on func(string, handle)) {
	on("GET "+appPath+"/deployments", s.listDeployments)
	on("GET "+appPath+"/deployments/{uuid}", func(c *call) (any, error) {
		d, err := c.deployment()
		if err != nil {
			return nil, err
		}
		return d.view(c.app), nil
	})
	on("DELETE "+appPath+"/deployments/{uuid}/instances", func(c *call) (any, error) {
		if _, err := c.deployment(); err != nil {
			return nil, err
		}
		return s.halt(c)
	})
	on("GET "+appPath+"/instances", s.listInstances)
	on("POST "+appPath+"/instances", s.redeploy)
	on("DELETE "+appPath+"/instances", s.halt)
	on("GET "+v4AppPath+"/deployments", s.listDeploymentsV4)
	on("GET "+v4AppPath+"/deployments/{uuid}", func(c *call) (any, error) {
		d, err := c.deployment()
		if err != nil {
			return nil, err
		}
		return d.viewV4(c.app), nil
	})
	on("GET "+v4AppPath+"/instances", s.listInstancesV4)
}

func (c *call) deployment() (*deployment, error) {
	for _, d := range c.app.history {
		if d.uuid == c.r.PathValue("uuid") {
			return d, nil
		}
	}
	return nil, &problem{http.StatusNotFound, idNoSuchDeployment, "The specified deployment doesn't exist"}
}

// page gives the newest deployments first, as many as the query asks for.
func (c *call) page() []*deployment {
	q := c.r.URL.Query()
	list := slices.Clone(c.app.history)
	slices.Reverse(list)
	if action := q.Get("action"); action != "" {
		list = slices.DeleteFunc(list, func(d *deployment) bool { return d.action != action })
	}
	offset, _ := strconv.Atoi(q.Get("offset"))
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit <= 0 {
		limit = defaultDeployments
	}
	offset = min(max(offset, 0), len(list))
	return list[offset:min(offset+limit, len(list))]
}

func (s *Server) listDeployments(c *call) (any, error) {
	views := []deploymentView{}
	for _, d := range c.page() {
		views = append(views, d.view(c.app))
	}
	return views, nil
}

type machineView struct {
	ID             string     `json:"id"`
	AppID          string     `json:"appId"`
	IP             string     `json:"ip"`
	AppPort        int        `json:"appPort"`
	State          string     `json:"state"`
	Flavor         flavorView `json:"flavor"`
	Commit         string     `json:"commit"`
	DeployNumber   int        `json:"deployNumber"`
	DeployID       string     `json:"deployId"`
	InstanceNumber int        `json:"instanceNumber"`
	DisplayName    string     `json:"displayName"`
	CreationDate   int64      `json:"creationDate"`
}

func (s *Server) listInstances(c *call) (any, error) {
	q := c.r.URL.Query()
	views := []machineView{}
	flavor, _ := flavorNamed(c.app.spec.MaxFlavor)
	for _, d := range c.app.history {
		switch {
		case d.instance == "", q.Get("deploymentId") != "" && q.Get("deploymentId") != d.uuid,
			d.machine == "DELETED" && q.Get("withDeleted") != "true":
			continue
		}
		views = append(views, machineView{
			ID: d.instance, AppID: c.app.id, IP: "127.0.0.1", AppPort: 8080, State: d.machine, Flavor: flavor,
			Commit: d.commit, DeployNumber: d.n, DeployID: d.uuid, DisplayName: c.app.spec.Name,
			CreationDate: d.machineFrom.UnixMilli(),
		})
	}
	return views, nil
}

// redeploy runs the pushed commit once more.
func (s *Server) redeploy(c *call) (any, error) {
	if c.app.pushed == nil {
		return nil, badRequest("The application has never been deployed")
	}
	d := s.deploy(c.app, c.app.pushed, "Console")
	return map[string]any{
		"id": idRedeploy, "message": "The application has successfully been queued for redeploy.",
		"type": "success", "deploymentId": d.uuid,
	}, nil
}

// halt stops the machine and forgets what waits for one.
func (s *Server) halt(c *call) (any, error) {
	a := c.app
	for _, d := range a.history {
		if d.state == "WIP" || d.state == "TASK_RUNNING" {
			d.state = "CANCELLED"
		}
	}
	if a.destroy != nil {
		a.destroy()
	}
	if d := a.current(); d != nil {
		a.stop(d, c.now)
		a.state = stateEnded
	}
	return success(0, "The application has successfully been stopped."), nil
}

// deploy records a deployment and asks for a machine. Needs s.mu.
func (s *Server) deploy(a *application, files *snapshot, cause string) *deployment {
	d := &deployment{
		n: len(a.history) + 1, uuid: s.newID("deployment"), at: now(), state: "WIP", action: "DEPLOY",
		cause: cause, commit: files.commit, files: files,
	}
	a.history = append(a.history, d)
	if !a.busy {
		a.boot(d, s.newID("instance"), d.at)
	}
	s.enqueue(a)
	return d
}

// RFC 3339 or null, as everywhere in v4 and in the control endpoints.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
