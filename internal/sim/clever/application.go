// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"time"
)

// The states that the control endpoints show.
const (
	stateCreated = "created"
	stateBooting = "booting"
	stateRunning = "running"
	stateEnded   = "ended"
	stateFailed  = "failed"
	stateDeleted = "deleted"
)

// application is one application with everything that ever happened to it.
// Server.mu guards all of it but the repository, which has its own lock.
type application struct {
	id, org   string
	spec      appSpec
	variant   variantView
	env       map[string]string
	tags      []string
	vhosts    []string
	repo      *repository
	files     map[string]any // of the last push to master, as the control endpoint shows them
	pushed    *snapshot      // the same with their content; nil before the push and after the deletion
	output    *tail          // the end of what its machines printed
	state     string
	busy      bool               // queued for a machine or running on one
	destroy   context.CancelFunc // destroys the machine; nil without one
	history   []*deployment      // oldest first
	favourite string             // of the vhosts
	linked    []string           // ids of add-ons whose variables it gets
	needs     []string           // ids of applications whose published variables it gets
	exposed   map[string]string  // variables that it publishes
	created   time.Time
	deleted   time.Time
}

// appSpec is what a client says about an application when it creates or edits it.
type appSpec struct {
	Name             string            `json:"name"`
	Description      string            `json:"description"`
	Zone             string            `json:"zone"`
	Deploy           string            `json:"deploy"`
	Shutdownable     bool              `json:"shutdownable"`
	InstanceType     string            `json:"instanceType"`
	InstanceVersion  string            `json:"instanceVersion"`
	InstanceVariant  string            `json:"instanceVariant"`
	InstanceLifetime string            `json:"instanceLifetime"`
	MinInstances     int               `json:"minInstances"`
	MaxInstances     int               `json:"maxInstances"`
	MinFlavor        string            `json:"minFlavor"`
	MaxFlavor        string            `json:"maxFlavor"`
	BuildFlavor      string            `json:"buildFlavor"`
	Branch           string            `json:"branch"`
	Tags             []string          `json:"tags"`
	Env              map[string]string `json:"env"`
	Archived         bool              `json:"archived"`
	StickySessions   bool              `json:"stickySessions"`
	Homogeneous      bool              `json:"homogeneous"`
	Favourite        bool              `json:"favourite"`
	CancelOnPush     bool              `json:"cancelOnPush"`
	SeparateBuild    bool              `json:"separateBuild"`
	ForceHTTPS       string            `json:"forceHttps"`
}

// task tells whether a machine of the application is meant to end by itself.
func (a *application) task() bool {
	return a.spec.InstanceLifetime == "TASK" || a.env["CC_TASK"] == "true"
}

// repoReady tells whether git answers for an application. Needs s.mu.
func (s *Server) repoReady(a *application, at time.Time) bool {
	return a.state != stateDeleted && !at.Before(a.created.Add(seconds(s.world.RepoDelaySeconds)))
}

// vmTime is how long machines of the application have existed.
func (a *application) vmTime(at time.Time) time.Duration {
	var sum time.Duration
	for _, d := range a.history {
		sum += d.vmTime(at)
	}
	return sum
}

// started is when the first machine began to boot.
func (a *application) started() time.Time {
	for _, d := range a.history {
		if !d.machineFrom.IsZero() {
			return d.machineFrom
		}
	}
	return time.Time{}
}

// ended is when the last machine went away; zero while there is one.
func (a *application) ended(at time.Time) time.Time {
	var last time.Time
	for _, d := range a.history {
		switch {
		case d.machineFrom.IsZero():
		case d.machineTo.IsZero() || d.machineTo.After(at):
			return time.Time{}
		case d.machineTo.After(last):
			last = d.machineTo
		}
	}
	return last
}

// next gives the oldest deployment that no machine has taken up.
func (a *application) next() *deployment {
	for _, d := range a.history {
		if d.state == "WIP" && !d.taken {
			return d
		}
	}
	return nil
}

// current gives the deployment whose machine runs, or nil.
func (a *application) current() *deployment {
	for _, d := range a.history {
		if d.instance != "" && d.machineTo.IsZero() {
			return d
		}
	}
	return nil
}

// cancel ends all deployments that have not ended.
func (a *application) cancel(at time.Time) {
	for _, d := range a.history {
		if d.open() {
			d.set("CANCELLED", at)
		}
	}
}

// halt destroys the machine.
func (a *application) halt(at, gone time.Time) {
	if a.destroy != nil {
		a.destroy()
		a.destroy = nil
	}
	if d := a.current(); d != nil {
		d.machineTo, d.stopping = gone, at
		a.state = stateEnded
	}
}
