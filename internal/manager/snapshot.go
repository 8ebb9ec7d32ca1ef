// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/schedule"
)

// Status is a picture of the service at one moment. Times are UTC, zero = not yet.
type Status struct {
	Version   string
	StartedAt time.Time
	At        time.Time
	Ready     bool
	Reasons   []string // why it is not ready

	Weight, Quota           fleet.Weight
	OpenJobs, Concurrent    int
	Provisioning, MaxAtOnce int
	Closed                  map[string]int // closed jobs by result, since the start
	LostGrants              int            // jobs found that were lost at acquisition, since the start
	Fuse                    string         // why the fuse is blown; "" = it is not

	Runners   []RunnerStatus
	Jobs      []JobStatus
	Instances []fleet.Instance // not confirmed absent
	Strangers []string         // keys of ours that no record explains
	// Unexplained and ProvenAt are those of an Audit at the same moment.
	Unexplained int
	ProvenAt    time.Time
	Breakers    []BreakerStatus // kinds of instances whose making fails
}

// RunnerStatus is one runner in a Status.
type RunnerStatus struct {
	Name, Coordinator, Owner, Executor string
	Polling                            bool
	Waits                              string // why it is not asked for jobs; "" = it is
	PollFailures                       int
	ListedAt                           time.Time
	Problem                            string
	Credentials                        []CredentialStatus // those whose end is known
}

// JobStatus is one open job in a Status.
type JobStatus struct {
	fleet.Job
	Instance  string
	WaitsFor  string
	WaitSince time.Time
}

// Status gives the present picture; a service that has ended gives one that is not ready.
func (m *Manager) Status() Status {
	var s Status
	if !m.ask(func() { s = m.snapshot() }) {
		return Status{Version: m.deps.Version, At: time.Now().UTC(), Reasons: []string{"the manager is not running"}}
	}
	return s
}

func (m *Manager) snapshot() Status {
	quota, known := m.quota()
	u := m.usage()
	s := Status{
		Version: m.deps.Version, StartedAt: m.started.UTC(), At: time.Now().UTC(),
		Weight: u.Weight, Quota: quota, OpenJobs: u.Jobs, Concurrent: m.cfg.Concurrent,
		Provisioning: u.Provisioning, MaxAtOnce: m.cfg.MaxProvisioning,
		Closed: map[string]int{}, LostGrants: m.lostGrants, Fuse: m.fuse.text(),
	}
	maps.Copy(s.Closed, m.counts)
	if !known {
		s.Reasons = append(s.Reasons, m.quotaless())
	}
	if !m.brokenSince.IsZero() {
		s.Reasons = append(s.Reasons, "the ledger can't be written")
	}
	for _, r := range m.runners {
		s.Runners = append(s.Runners, m.runnerStatus(r, &s.Reasons))
	}
	for _, j := range m.jobList() {
		s.Jobs = append(s.Jobs, jobStatus(j))
	}
	s.Jobs = append(s.Jobs, m.orphans.status()...)
	for _, vm := range m.machineList() {
		s.Instances = append(s.Instances, vm.rec)
	}
	s.Instances = append(s.Instances, m.orphans.instances...)
	for _, x := range m.unrecorded {
		if !x.forgotten { // that one somebody has explained
			s.Strangers = append(s.Strangers, x.seen.Key)
		}
	}
	slices.SortFunc(s.Strangers, cmp.Compare[string])
	s.Breakers = m.breakerStatus()
	found := m.audit()
	s.Unexplained, s.ProvenAt = found.Unexplained, found.ProvenAt
	s.Ready = len(s.Reasons) == 0
	return s
}

func (m *Manager) runnerStatus(r *runner, reasons *[]string) RunnerStatus {
	out := RunnerStatus{
		Name: r.cfg.Name, Coordinator: r.cfg.Coordinator, Owner: string(r.cfg.Owner), Executor: r.cfg.Executor,
		Polling: r.polling != nil, PollFailures: r.pollFails, Problem: r.flavorError,
		Credentials: r.credentialStatus(),
	}
	for _, p := range r.purseList() {
		out.Problem = cmp.Or(out.Problem, p.problem, p.unread, p.listError)
		if out.ListedAt.IsZero() || p.listedAt.Before(out.ListedAt) {
			out.ListedAt = p.listedAt
		}
	}
	if !r.why.OK() {
		out.Waits = r.why.String()
	}
	if r.removed {
		out.Waits = "it was taken out of the configuration; its jobs finish"
		return out
	}
	if !r.listed() || len(r.flavors) == 0 {
		*reasons = append(*reasons, fmt.Sprintf("runner %q: the cloud has not answered yet", r.cfg.Name))
	}
	return out
}

func jobStatus(j *job) JobStatus {
	out := JobStatus{Job: j.rec}
	out.Payload = nil
	if j.vm != nil {
		out.Instance = j.vm.rec.Key
	}
	if j.rec.State == fleet.JobAcquired && j.vm != nil && j.vm.rec.State != fleet.InstanceGone {
		out.WaitsFor, out.WaitSince = "an instance that the Python program may have made for it, and that goes first", j.rec.AcquiredAt
	}
	unplaced := j.rec.State == fleet.JobWaiting || j.rec.State == fleet.JobAcquired
	if making := j.rec.State == fleet.JobLaunching && j.wait.Kind == schedule.Making; (unplaced || making) && !j.wait.OK() {
		out.WaitsFor, out.WaitSince = j.wait.String(), j.waitFrom
	}
	return out
}
