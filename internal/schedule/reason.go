// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// Kind names the limit that stands in the way.
type Kind string

// The kinds of reasons; the empty one means that nothing stands in the way.
const (
	Free         Kind = ""
	Nothing      Kind = "nothing"      // no job waits
	Quota        Kind = "quota"        // the weights in use leave no room
	Concurrent   Kind = "concurrent"   // `concurrent` is reached
	RunnerLimit  Kind = "limit"        // the runner's own `limit` is reached
	Provisioning Kind = "provisioning" // `paas_max_concurrent_provisioning` is reached
	TooSoon      Kind = "spacing"      // `paas_min_seconds_between_launches`
	Parked       Kind = "parked"       // a job is parked: nothing more is acquired
	Behind       Kind = "behind"       // another job was acquired earlier
	Broken       Kind = "platform"     // the platform fails to make instances of this kind
	Flavors      Kind = "flavors"      // the platform has not told yet which flavors there are
	Payer        Kind = "payer"        // the coordinator has not told yet who pays
	Survey       Kind = "survey"       // what exists in the clouds has not been listed yet
	Making       Kind = "making"       // the instance could not be made, and is tried again
)

// Reason explains a wait. The zero value means: go ahead. Used, Limit and Need are
// in the limit's own unit (thousandths of weight for Quota, else counts).
type Reason struct {
	Kind              Kind
	Used, Limit, Need int64
	Job               fleet.JobID
	Until             time.Time
	Flavor            string // of Broken
	Problem           string // of Making, for users
}

// OK tells whether nothing stands in the way.
func (r Reason) OK() bool { return r.Kind == Free }

// Same tells whether two reasons are the same to a reader: the figures may differ.
func (r Reason) Same(o Reason) bool { return r.Kind == o.Kind && r.Job == o.Job }

// String is the sentence that users and operators read.
func (r Reason) String() string {
	switch r.Kind {
	case Quota:
		return fmt.Sprintf("the quota: %s of %s in use, %s needed",
			fleet.Weight(r.Used), fleet.Weight(r.Limit), fleet.Weight(r.Need))
	case Concurrent:
		return fmt.Sprintf("the limit of %d concurrent jobs of this service", r.Limit)
	case RunnerLimit:
		return fmt.Sprintf("the limit of %d jobs of this runner", r.Limit)
	case Provisioning:
		return fmt.Sprintf("other instances to start: at most %d may be starting at once", r.Limit)
	case TooSoon:
		return "the minimum time between two launches"
	case Parked:
		return fmt.Sprintf("job %d, which waits for room", r.Job.ID)
	case Behind:
		return fmt.Sprintf("job %d, which was acquired earlier", r.Job.ID)
	case Broken:
		return fmt.Sprintf("the platform to make instances of flavor %s again: the last %d attempts failed", r.Flavor, r.Used)
	case Flavors:
		return "the platform to tell which flavors there are"
	case Payer:
		return "the coordinator to tell which organisation pays for it"
	case Survey:
		return "a list of all instances that exist already"
	case Making:
		return "the platform to make the instance: " + r.Problem + "; trying again"
	case Nothing:
		return "nothing to launch"
	}
	return "nothing"
}
