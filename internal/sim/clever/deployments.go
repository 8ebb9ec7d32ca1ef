// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	defaultList = 10 // how many a list of deployments without a limit shows
	maxList     = 1000
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

func (d *deployment) view() deploymentView {
	return deploymentView{
		ID: d.n, UUID: d.uuid, Date: d.at.UnixMilli(), State: d.state, Action: d.action, Commit: d.commit,
		Cause: d.cause, Instances: 1, Author: authorView{d.author, d.author},
	}
}

type originView struct {
	Action      string   `json:"action"`
	Cause       string   `json:"cause"`
	Source      string   `json:"source"`
	AuthorID    string   `json:"authorId"`
	Constraints []string `json:"constraints"`
	Priority    string   `json:"priority"`
}

type stepView struct {
	State string    `json:"state"`
	Date  time.Time `json:"date"`
}

type deploymentViewV4 struct {
	ID            string            `json:"id"`
	OwnerID       string            `json:"ownerId"`
	ApplicationID string            `json:"applicationId"`
	StartDate     time.Time         `json:"startDate"`
	State         string            `json:"state"`
	Steps         []stepView        `json:"steps"`
	Version       map[string]string `json:"version"`
	Origin        originView        `json:"origin"`
	Dedicated     bool              `json:"hasDedicatedBuild"`
	Configuration any               `json:"applicationConfiguration,omitempty"`
}

func (d *deployment) viewV4(a *application) deploymentViewV4 {
	return deploymentViewV4{
		ID: d.uuid, OwnerID: a.org, ApplicationID: a.id, StartDate: d.at, State: d.stateV4(),
		Steps: slices.Clone(d.steps), Version: map[string]string{"commitId": d.commit}, Dedicated: a.spec.SeparateBuild,
		Origin: originView{Action: d.action, Cause: d.cause, Source: "git", AuthorID: d.author, Constraints: []string{}, Priority: "DEFAULT"},
	}
}

func (s *Server) routeDeployments(on func(string, handle)) {
	on("GET "+appPath+"/deployments", func(c *call) (any, error) {
		views := []deploymentView{}
		for _, d := range page(c, s.shown(c.app, c.now), defaultList) {
			views = append(views, d.view())
		}
		return views, nil
	})
	// Clever Cloud's command line names a deployment by its number too.
	one := func(pattern string, show func(*call, *deployment) (any, error)) {
		on(pattern, func(c *call) (any, error) {
			for _, d := range c.app.history {
				if id := c.r.PathValue("uuid"); (d.uuid == id || strconv.Itoa(d.n) == id) && !d.at.After(c.now) {
					return show(c, d)
				}
			}
			return nil, notFound(idNoSuchDeployment, "The specified deployment doesn't exist")
		})
	}
	one("GET "+appPath+"/deployments/{uuid}", func(_ *call, d *deployment) (any, error) { return d.view(), nil })
	one("DELETE "+appPath+"/deployments/{uuid}/instances", s.cancelDeployment)
	one("GET "+v4AppPath+"/deployments/{uuid}", func(c *call, d *deployment) (any, error) { return s.showV4(c, d), nil })
	on("GET "+v4AppPath+"/deployments", s.listDeploymentsV4)
}

// shown gives the deployments that are listed, newest first.
func (s *Server) shown(a *application, at time.Time) []*deployment {
	at = at.Add(-seconds(s.world.StaleListsSeconds))
	list := slices.DeleteFunc(slices.Clone(a.history), func(d *deployment) bool { return d.at.After(at) })
	slices.Reverse(list)
	return list
}

// page gives as many deployments as the query asks for, of the actions that it names.
func page(c *call, list []*deployment, limit int) []*deployment {
	q := c.r.URL.Query()
	if actions := q["action"]; len(actions) > 0 && actions[0] != "" {
		list = slices.DeleteFunc(list, func(d *deployment) bool { return !slices.Contains(actions, d.action) })
	}
	offset, _ := strconv.Atoi(q.Get("offset"))
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n > 0 {
		limit = n
	}
	offset = min(max(offset, 0), len(list))
	return list[offset:min(offset+limit, len(list))]
}

// limited checks the limit of a list of version 4.
func (c *call) limited() error {
	text := c.r.URL.Query().Get("limit")
	if n, err := strconv.Atoi(text); text != "" && (err != nil || n < 1 || n > maxList) {
		return &problem{Status: http.StatusBadRequest, ID: idBadRequest, Text: "limit must be between 1 and 1000", Fields: map[string]string{"limit": text}}
	}
	return nil
}

func (s *Server) listDeploymentsV4(c *call) (any, error) {
	if err := c.limited(); err != nil {
		return nil, err
	}
	list := s.shown(c.app, c.now)
	if c.r.URL.Query().Get("order") == "ASC" {
		slices.Reverse(list)
	}
	views := []deploymentViewV4{}
	for _, d := range page(c, list, defaultList) {
		views = append(views, s.showV4(c, d))
	}
	return views, nil
}

func (s *Server) showV4(c *call, d *deployment) deploymentViewV4 {
	v := d.viewV4(c.app)
	if c.r.URL.Query().Get("includeApplicationConfiguration") == "true" {
		v.Configuration = s.view(c, c.app)
	}
	return v
}

// listAllDeployments shows those of all applications of an owner, by application.
func (s *Server) listAllDeployments(c *call) (any, error) {
	all := map[string][]deploymentView{}
	for _, a := range s.listed(c.org.id, c.now) {
		views := []deploymentView{}
		for _, d := range page(c, s.shown(a, c.now), defaultList) {
			views = append(views, d.view())
		}
		all[a.id] = views
	}
	return all, nil
}

// redeploy runs a pushed commit once more, the last one if none is named.
func (s *Server) redeploy(c *call) (any, error) {
	files := c.app.pushed
	if commit := c.r.URL.Query().Get("commit"); commit != "" && files != nil && commit != files.commit {
		var err error
		if files, err = s.snapshotOf(c.app, commit); err != nil {
			return nil, badRequest("The commit %.40q was never pushed", commit)
		}
	}
	if files == nil {
		return nil, badRequest("The application has never been deployed")
	}
	d := s.deploy(c.app, files, "Console", c.who.id, c.now)
	return map[string]any{
		"id": idRedeploy, "message": "The application has successfully been queued for redeploy.",
		"type": "success", "deploymentId": d.uuid,
	}, nil
}

func (s *Server) snapshotOf(a *application, commit string) (*snapshot, error) {
	if !plumbing.IsHash(commit) {
		return nil, errors.New("not a commit")
	}
	a.repo.mu.Lock()
	defer a.repo.mu.Unlock()
	return a.repo.snapshot(plumbing.NewHash(commit), s.pool)
}

// undeploy stops the machine and forgets what waits for one.
func (s *Server) undeploy(c *call) (any, error) {
	a := c.app
	a.cancel(c.now)
	a.halt(c.now, c.now.Add(seconds(s.world.StopSeconds)))
	if commit := a.commit(); commit != nil {
		d := s.record(a, "UNDEPLOY", "Console", c.who.id, *commit, c.now)
		d.set("OK", c.now)
	}
	return success(0, "The application has successfully been stopped."), nil
}

// cancelDeployment ends one deployment that has not ended.
func (s *Server) cancelDeployment(c *call, d *deployment) (any, error) {
	if !d.open() {
		return nil, badRequest("The deployment has ended")
	}
	d.set("CANCELLED", c.now)
	if c.app.current() == d {
		c.app.halt(c.now, c.now.Add(seconds(s.world.StopSeconds)))
	}
	return success(0, "The deployment has been cancelled."), nil
}

// deploy records a deployment and asks for a machine. Needs s.mu.
func (s *Server) deploy(a *application, files *snapshot, cause, author string, at time.Time) *deployment {
	d := s.record(a, "DEPLOY", cause, author, files.commit, at)
	d.files = files
	if !a.busy {
		s.bootNow(a, d, now())
	}
	s.enqueue(a)
	return d
}

// record adds to what the platform lists as deployments. Needs s.mu.
func (s *Server) record(a *application, action, cause, author, commit string, at time.Time) *deployment {
	d := &deployment{
		n: len(a.history) + 1, uuid: s.newID("deployment"), at: at, state: "WIP", action: action,
		cause: cause, author: author, commit: commit, steps: []stepView{{"QUEUED", at}},
	}
	if action != "DEPLOY" {
		d.taken = true // there is nothing to run
	}
	a.history = append(a.history, d)
	return d
}

// RFC 3339 or null, as everywhere in v4 and in the control endpoints.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
