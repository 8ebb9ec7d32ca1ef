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
	id, org  string
	spec     appSpec
	variant  variantView
	env      map[string]string
	tags     []string
	vhosts   []string
	repo     *repository
	files    map[string]any // of the last push to master, as the control endpoint shows them
	pushed   *snapshot      // the same with their content; nil before the push and after the deletion
	output   *tail          // the end of what its machines printed
	state    string
	busy     bool               // queued for a machine or running on one
	destroy  context.CancelFunc // destroys the machine; nil without one
	history  []*deployment      // oldest first
	created  time.Time
	started  time.Time // the first machine began to boot
	ended    time.Time // the last machine ended
	deleted  time.Time
	vmSince  time.Time // the current machine began to boot; zero without one
	vmBefore time.Duration
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

// deployment is one attempt to run a commit on a machine.
type deployment struct {
	n           int
	uuid        string
	at          time.Time
	state       string // WIP, OK, FAIL, CANCELLED, TASK_RUNNING
	action      string // DEPLOY, UNDEPLOY
	cause       string
	commit      string
	files       *snapshot
	instance    string // id of its machine, "" until it boots
	machine     string // BOOTING, DEPLOYING, TASK_IN_PROGRESS, UP, DELETED
	taken       bool   // a machine works on it
	machineFrom time.Time
	machineTo   time.Time
}

// task tells whether a machine of the application is meant to end by itself.
func (a *application) task() bool {
	return a.spec.InstanceLifetime == "TASK" || a.env["CC_TASK"] == "true"
}

// repoReady tells whether git answers for the application.
func (a *application) repoReady(at time.Time, delay time.Duration) bool {
	return a.state != stateDeleted && !at.Before(a.created.Add(delay))
}

// vmTime is how long machines of the application have existed.
func (a *application) vmTime(at time.Time) time.Duration {
	if a.vmSince.IsZero() {
		return a.vmBefore
	}
	return a.vmBefore + at.Sub(a.vmSince)
}

// boot notes that a machine for d begins to exist.
func (a *application) boot(d *deployment, instance string, at time.Time) {
	a.state = stateBooting
	a.vmSince = at
	a.ended = time.Time{}
	if a.started.IsZero() {
		a.started = at
	}
	d.instance, d.machine, d.machineFrom = instance, "BOOTING", at
}

// stop notes that the current machine is gone.
func (a *application) stop(d *deployment, at time.Time) {
	if d != nil && d.machineTo.IsZero() {
		d.machine, d.machineTo = "DELETED", at
	}
	if a.vmSince.IsZero() {
		return
	}
	a.vmBefore += at.Sub(a.vmSince)
	a.vmSince = time.Time{}
	a.ended = at
	a.destroy = nil
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

// current gives the deployment whose machine exists, or nil.
func (a *application) current() *deployment {
	for _, d := range a.history {
		if d.instance != "" && d.machineTo.IsZero() {
			return d
		}
	}
	return nil
}
