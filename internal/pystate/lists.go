// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"slices"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

// systemFailure is the reason for jobs that can't go on: with it, GitLab may retry them.
const systemFailure = "runner_system_failure"

// launched: the job was pushed to its instance. That it runs is shown by its log, or its
// end by the coordinator.
func (p *planner) launched(it *item) {
	if !it.handle.Resource.onClever() {
		p.lost(it)
		return
	}
	p.record(it, fleet.JobStarting)
	it.job.Payload = nil
	p.instance(it, fleet.InstanceStarted)
	it.what = "watched to its end"
}

// pending: the job was acquired, and may have been pushed. Its instance is used if there
// is one that can be; what is pushed already is not pushed again.
func (p *planner) pending(it *item) {
	r := it.handle.Resource
	switch {
	case r != nil && !r.onClever():
		p.lost(it)
	case r != nil && r.Launched:
		p.launched(it)
	case it.handle.TraceOffset > 0:
		p.fail(it, "The service that runs this job was stopped while it was reporting a failed launch. Retry the job.")
		it.what = "its launch had failed: it is reported so"
	case !p.readable(it):
		p.fail(it, "The service that runs this job was exchanged, and the job's description was not handed on. Retry the job.")
		it.what = "its payload is not in the file: it fails"
	case r == nil:
		p.fresh(it)
	case r.Kind == KindService:
		// The helper may have been given the job just before the stop.
		p.fail(it, "The service that runs this job was exchanged while the job was being started. Retry the job.")
		it.what = "it may have been given to its instance's helper: it fails, and the instance goes"
	default:
		p.record(it, fleet.JobStarting)
		p.instance(it, fleet.InstanceCreated)
		it.what = "started on the instance that was made for it"
	}
}

// fresh: nothing was made for the job, or the answer was lost. An instance of its name is
// looked for, and removed, before the job is launched like one that was just acquired.
func (p *planner) fresh(it *item) {
	p.record(it, fleet.JobAcquired)
	zero := it.job.ClosedAt
	it.job.PrefixFrozen, it.job.LaunchingAt, it.job.StartingAt = false, zero, zero
	it.job.Namespace = p.namespace(it)
	p.instance(it, fleet.InstanceUnknown)
	it.job.Weight = 0 // it is sized anew
	it.what = "launched, once it is sure that no instance was made for it"
}

// namespace is the top-level group by which a job's tenant is found.
func (p *planner) namespace(it *item) string {
	if !p.multiTenant(it) {
		return ""
	}
	return rootOf(it.payload)
}

func (p *planner) multiTenant(it *item) bool { return multiTenant(p.cfg.Runners, it.owned.owner) }

func multiTenant(runners []config.Runner, owner fleet.Owner) bool {
	return slices.ContainsFunc(runners, func(rc config.Runner) bool { return rc.Owner == owner && rc.Clever.MultiTenant })
}

// rootOf is the top-level group of a granted job.
func rootOf(payload []byte) string {
	p, err := coordinator.ParsePayload(payload)
	if err != nil {
		return ""
	}
	return p.RootNamespace
}

// ended: the job had ended, or its launch had failed; its instance was to be removed. The
// coordinator is asked for the job's end once more, after that.
func (p *planner) ended(it *item) {
	if r := it.handle.Resource; r != nil && !r.onClever() {
		it.what = byHand(r)
		return
	}
	p.record(it, fleet.JobFailing)
	it.job.Payload, it.job.FailureReason = nil, systemFailure
	it.job.FailureText = "The instance of this job was removed. Retry the job."
	it.what = "it had ended"
	if it.handle.Resource != nil {
		p.instance(it, fleet.InstanceDeleting)
		it.what += ": its instance is removed"
	}
}

// standby: an instance that was kept for a next job.
func (p *planner) standby(it *item) {
	switch r := it.handle.Resource; {
	case r == nil:
		it.what = "an instance in standby that the file does not name: nothing to do"
	case !r.onClever():
		it.what = byHand(r)
	default:
		p.instance(it, fleet.InstanceDeleting)
		it.vm.Job = fleet.JobID{}
		it.what = "an instance in standby: it is removed"
	}
}

// lost: what the job runs on can't be watched from here.
func (p *planner) lost(it *item) {
	p.fail(it, "This job was started in a way that the service can't follow any more. Retry the job.")
	it.what = "it was launched in a way that can't be followed: it fails unless it has ended well"
	if r := it.handle.Resource; r != nil {
		it.what += "; " + byHand(r)
	}
}

// fail ends a job, after its instance, if there is one, is gone.
func (p *planner) fail(it *item, text string) {
	p.record(it, fleet.JobFailing)
	it.job.Payload, it.job.FailureReason, it.job.FailureText = nil, systemFailure, text
	switch {
	case it.handle.Resource.onClever():
		p.instance(it, fleet.InstanceStarted)
	case it.handle.Resource == nil && p.searchable(it):
		it.job.Namespace = p.namespace(it)
		p.instance(it, fleet.InstanceUnknown)
	}
}

// searchable tells whether it can be found out in which organisation an instance of the
// job would be.
func (p *planner) searchable(it *item) bool {
	return !p.multiTenant(it) || p.namespace(it) != ""
}

// readable tells whether the payload is this job's.
func (p *planner) readable(it *item) bool {
	payload, err := coordinator.ParsePayload(it.payload)
	return err == nil && payload.ID == it.handle.JobID
}

func byHand(r *Resource) string {
	if r.Kind == KindLocal {
		return "remove the container and the image " + r.ID + " by hand"
	}
	return "remove the service " + r.ID + " by hand"
}
