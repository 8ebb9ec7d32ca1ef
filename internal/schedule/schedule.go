// SPDX-License-Identifier: Apache-2.0

// Package schedule decides which runner may be asked for a job and which waiting
// job may be launched. It knows nothing of networks, files or clocks: pure
// functions over a snapshot, so that the ceilings (I3) can be tested with
// generated histories. The one idea: the size of a job is known only after it was
// acquired, so a job that does not fit is parked, and while one is parked nothing
// more is acquired.
package schedule

import (
	"slices"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// Limits are the ceilings of one service. A zero Quota is no quota at all: nothing
// may be polled or launched.
type Limits struct {
	Quota           fleet.Weight
	Concurrent      int           // jobs at once
	MaxProvisioning int           // instances not yet running a job at once
	MinBetween      time.Duration // between two launches; 0 = none
}

// Usage is what counts against the limits now.
type Usage struct {
	Weight       fleet.Weight // of every instance from intended to confirmed absent
	Instances    int          // the same, counted
	Jobs         int          // open jobs
	Provisioning int          // jobs launching or starting
	LastLaunch   time.Time    // zero = never
}

// Runner is one registration as far as scheduling goes.
type Runner struct {
	Owner    fleet.Owner
	Smallest fleet.Weight // the smallest flavor that its jobs may ask for
	Largest  fleet.Weight // the largest
	Strict   bool         // ask only while the largest would fit
	Limit    int          // of its own open jobs; 0 = none
	Jobs     int          // its open jobs
}

// Waiting is a job that wants an instance.
type Waiting struct {
	ID     fleet.JobID
	Seq    int64 // order of acquisition
	Weight fleet.Weight
}

// MayPoll tells whether a runner may be asked for a job now, and if not, why.
func MayPoll(l Limits, u Usage, r Runner, waiting []Waiting, now time.Time) Reason {
	switch {
	case len(waiting) > 0:
		return Reason{Kind: Parked, Job: first(waiting).ID}
	case u.Jobs >= l.Concurrent:
		return Reason{Kind: Concurrent, Limit: int64(l.Concurrent), Used: int64(u.Jobs)}
	case r.Limit > 0 && r.Jobs >= r.Limit:
		return Reason{Kind: RunnerLimit, Limit: int64(r.Limit), Used: int64(r.Jobs)}
	case u.Provisioning >= l.MaxProvisioning:
		return Reason{Kind: Provisioning, Limit: int64(l.MaxProvisioning), Used: int64(u.Provisioning)}
	case tooSoon(l, u, now):
		return Reason{Kind: TooSoon, Until: u.LastLaunch.Add(l.MinBetween)}
	}
	need := r.Smallest
	if r.Strict {
		need = r.Largest
	}
	if u.Weight+need > l.Quota {
		return quotaReason(l, u, need)
	}
	return Reason{}
}

// MayLaunch tells whether the first of the waiting jobs may be launched now, and
// if not, why. Only the first is considered: parked jobs start in the order in
// which they were acquired, so that a big one never starves behind small ones.
func MayLaunch(l Limits, u Usage, waiting []Waiting, now time.Time) (fleet.JobID, Reason) {
	if len(waiting) == 0 {
		return fleet.JobID{}, Reason{Kind: Nothing}
	}
	head := first(waiting)
	switch {
	case u.Weight+head.Weight > l.Quota:
		return head.ID, quotaReason(l, u, head.Weight)
	case u.Instances >= l.Concurrent:
		return head.ID, Reason{Kind: Concurrent, Limit: int64(l.Concurrent), Used: int64(u.Instances)}
	case u.Provisioning >= l.MaxProvisioning:
		return head.ID, Reason{Kind: Provisioning, Limit: int64(l.MaxProvisioning), Used: int64(u.Provisioning)}
	case tooSoon(l, u, now):
		return head.ID, Reason{Kind: TooSoon, Until: u.LastLaunch.Add(l.MinBetween)}
	}
	return head.ID, Reason{}
}

// WhyWaiting gives the reason why a certain job waits: the limit in its way when
// it is the first, else the job before it.
func WhyWaiting(l Limits, u Usage, waiting []Waiting, id fleet.JobID, now time.Time) Reason {
	head, reason := MayLaunch(l, u, waiting, now)
	if head == id || len(waiting) == 0 {
		return reason
	}
	return Reason{Kind: Behind, Job: head}
}

func first(waiting []Waiting) Waiting {
	return slices.MinFunc(waiting, func(a, b Waiting) int { return int(a.Seq - b.Seq) })
}

func tooSoon(l Limits, u Usage, now time.Time) bool {
	return l.MinBetween > 0 && !u.LastLaunch.IsZero() && now.Before(u.LastLaunch.Add(l.MinBetween))
}

func quotaReason(l Limits, u Usage, need fleet.Weight) Reason {
	return Reason{Kind: Quota, Limit: int64(l.Quota), Used: int64(u.Weight), Need: int64(need)}
}
