// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"fmt"
	"time"
)

// deployment is one attempt to run a commit on a machine, or an act that the platform
// lists among them.
type deployment struct {
	n           int
	uuid        string
	at          time.Time // from when on it is shown
	state       string    // WIP, OK, FAIL, CANCELLED, TASK_RUNNING
	action      string    // DEPLOY, UNDEPLOY
	cause       string
	author      string // id of a user
	commit      string
	files       *snapshot
	steps       []stepView
	instance    string    // id of its machine, "" until it boots
	machine     string    // what the machine is once it has booted: TASK_IN_PROGRESS, UP, GHOST
	taken       bool      // a machine works on it
	machineFrom time.Time // its machine began to boot
	bootTime    time.Duration
	stopping    time.Time // its machine began to end
	machineTo   time.Time // its machine was gone, or will be
}

// open tells whether a deployment has not ended.
func (d *deployment) open() bool { return d.state == "WIP" || d.state == "TASK_RUNNING" }

// set changes the state and remembers when, in the words of version 4.
func (d *deployment) set(state string, at time.Time) {
	d.state = state
	d.note(map[string]string{
		"WIP": "WORK_IN_PROGRESS", "TASK_RUNNING": "TASK_IN_PROGRESS", "OK": "SUCCEEDED", "FAIL": "FAILED", "CANCELLED": "CANCELLED",
	}[state], at)
}

func (d *deployment) note(state string, at time.Time) {
	if n := len(d.steps); n == 0 || d.steps[n-1].State != state {
		d.steps = append(d.steps, stepView{state, at})
	}
}

// stateV4 says a deployment's state in the words of version 4.
func (d *deployment) stateV4() string { return d.steps[len(d.steps)-1].State }

// boot notes that its machine begins to exist.
func (d *deployment) boot(instance string, at time.Time, takes time.Duration) {
	d.instance, d.machineFrom, d.bootTime = instance, at, takes
	d.note("WORK_IN_PROGRESS", at)
}

func (d *deployment) vmTime(at time.Time) time.Duration {
	switch {
	case d.machineFrom.IsZero():
		return 0
	case d.machineTo.IsZero() || d.machineTo.After(at):
		return at.Sub(d.machineFrom)
	}
	return d.machineTo.Sub(d.machineFrom)
}

// machineState is the state of its machine. Nothing happens between the phases of a
// boot: they are read off the clock.
func (d *deployment) machineState(at time.Time) string {
	switch booting := at.Sub(d.machineFrom); {
	case !d.machineTo.IsZero() && !at.Before(d.machineTo):
		return "DELETED"
	case !d.stopping.IsZero():
		return "STOPPING"
	case d.machine != "":
		return d.machine
	case d.bootTime == 0 || booting*3 < d.bootTime:
		return "BOOTING"
	case booting*3 < d.bootTime*2:
		return "STARTING"
	}
	return "DEPLOYING"
}

// took says how long a deployment took, as the platform's log does.
func (d *deployment) took(at time.Time) string {
	n := int(at.Sub(d.machineFrom).Seconds())
	return fmt.Sprintf("%d minutes and %d seconds", n/60, n%60)
}
