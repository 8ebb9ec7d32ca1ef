// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/manager"
)

// source shows the manager to the status listener.
type source struct{ m *manager.Manager }

// Notice hands on a hint of an instance.
func (s source) Notice(key, event, bearer string) error {
	err := s.m.Notice(key, event, bearer)
	if errors.Is(err, manager.ErrNotRunning) {
		return api.ErrDown
	}
	return err
}

// Audit gives the manager's comparison of clouds and ledger in the form that travels.
func (s source) Audit() (api.Audit, error) {
	found, err := s.m.Audit()
	if err != nil {
		return api.Audit{}, err
	}
	out := api.Audit{At: found.At, ProvenAt: api.Time(found.ProvenAt), Unexplained: found.Unexplained, Problems: found.Problems, Fuse: found.Fuse}
	for _, e := range found.Entries {
		out.Entries = append(out.Entries, api.AuditEntry{
			Key: e.Key, Tenant: e.Tenant, Namespace: e.Namespace, JobID: e.Job, Cloud: e.Cloud, Ledger: e.Ledger,
			Flavor: e.Flavor, Weight: e.Weight.String(), Verdict: e.Verdict, Explained: e.Explained,
		})
	}
	return out, nil
}

// Release lets unrecorded instances be destroyed again.
func (s source) Release() error { return s.m.ReleaseFuse() }

// Forget ends the care for a kept instance.
func (s source) Forget(key string) error {
	err := s.m.Forget(key)
	if errors.Is(err, manager.ErrNotKept) {
		return api.ErrNotKept
	}
	return err
}

// Status gives the manager's picture in the form that travels.
func (s source) Status() api.Status { return wire(s.m.Status()) }

func wire(s manager.Status) api.Status {
	out := api.Status{
		Version: s.Version, StartedAt: api.Time(s.StartedAt), At: s.At, Ready: s.Ready, Reasons: s.Reasons,
		Quota:        api.Quota{Used: s.Weight.String(), Total: s.Quota.String()},
		Concurrent:   api.Count{Used: s.OpenJobs, Limit: s.Concurrent},
		Provisioning: api.Count{Used: s.Provisioning, Limit: s.MaxAtOnce},
		Results:      s.Closed, LostGrants: s.LostGrants, Fuse: s.Fuse, Strangers: s.Strangers, Breakers: breakers(s.Breakers),
		Unexplained: s.Unexplained, ProvenAt: api.Time(s.ProvenAt),
	}
	for _, r := range s.Runners {
		out.Runners = append(out.Runners, api.Runner{
			Name: r.Name, Coordinator: r.Coordinator, Owner: r.Owner, Executor: r.Executor, Polling: r.Polling,
			Waits: r.Waits, PollFailures: r.PollFailures, Problem: r.Problem, ListedAt: api.Time(r.ListedAt),
			Credentials: wireCredentials(r.Credentials),
		})
	}
	for _, j := range s.Jobs {
		out.Jobs = append(out.Jobs, wireJob(j))
	}
	for _, i := range s.Instances {
		out.Instances = append(out.Instances, api.Instance{
			Key: i.Key, JobID: i.Job.ID, Coordinator: i.Job.Coordinator, Runner: i.Runner, Tenant: i.Tenant,
			Provisioner: i.Provisioner, Zone: i.Zone, Flavor: i.Flavor, Weight: i.Weight.String(), State: string(i.State),
			Creates: i.Creates, Destroys: i.Destroys, LastError: i.LastError,
			IntendedAt: api.Time(i.IntendedAt), CreatedAt: api.Time(i.CreatedAt),
			StartedAt: api.Time(i.StartedAt), DeletingAt: api.Time(i.DeletingAt),
		})
	}
	return out
}

func wireCredentials(list []manager.CredentialStatus) []api.Credential {
	out := []api.Credential{}
	for _, c := range list {
		out = append(out, api.Credential{Tenant: c.Tenant, EndsAt: c.Ends.UTC()})
	}
	return out
}

func wireJob(j manager.JobStatus) api.Job {
	return api.Job{
		ID: j.ID, Coordinator: j.Coordinator, Runner: j.Runner, State: string(j.State), Name: j.Name,
		Project: j.Project, URL: j.WebURL, Tenant: j.Tenant, Flavor: j.Flavor, Weight: j.Weight.String(),
		Instance: j.Instance, WaitsFor: j.WaitsFor, FailureReason: j.FailureReason, FailureText: j.FailureText,
		Result: j.Result, AcquiredAt: api.Time(j.AcquiredAt), WaitsSince: api.Time(j.WaitSince),
		LaunchingAt: api.Time(j.LaunchingAt), StartingAt: api.Time(j.StartingAt), RunningAt: api.Time(j.RunningAt),
		CancelAt: api.Time(j.CancelAt), FinishedAt: api.Time(j.FinishedAt),
	}
}

func breakers(in []manager.BreakerStatus) []api.Breaker {
	var out []api.Breaker
	for _, b := range in {
		out = append(out, api.Breaker{
			Provisioner: b.Provisioner, Zone: b.Zone, Tenant: b.Tenant, Flavor: b.Flavor, State: b.State, Failures: b.Failures,
			Since: api.Time(b.Since), Next: api.Time(b.Next), Problem: b.Problem,
		})
	}
	return out
}
