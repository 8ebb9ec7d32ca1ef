// SPDX-License-Identifier: Apache-2.0

package manager

import "heptapod-paas-runner/internal/fleet"

// logJob writes the one Info line of a job's change of state.
func (m *Manager) logJob(j *job, to fleet.Job) {
	if to.State == j.rec.State && !j.fresh {
		return
	}
	from := string(j.rec.State)
	if j.fresh {
		from = ""
	}
	args := []any{"runner", to.Runner, "job", to.ID, "state", string(to.State), "from", from}
	if to.Flavor != "" {
		args = append(args, "flavor", to.Flavor)
	}
	if to.State == fleet.JobFailing {
		args = append(args, "reason", to.FailureReason, "err", to.FailureText)
	}
	if to.State == fleet.JobFinished {
		args = append(args, "result", to.Result)
	}
	if to.State == fleet.JobClosed {
		args = append(args, "took", to.ClosedAt.Sub(to.AcquiredAt))
	}
	m.log.Info("job", args...)
}

// logMachine writes the one Info line of an instance's change of state.
func (m *Manager) logMachine(vm *machine, to fleet.Instance) {
	if to.State == vm.rec.State && !vm.fresh {
		return
	}
	from := string(vm.rec.State)
	if vm.fresh {
		from = ""
	}
	m.log.Info("instance", "instance", to.Key, "tenant", to.Tenant, "flavor", to.Flavor,
		"state", string(to.State), "from", from)
}
