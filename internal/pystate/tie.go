// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// Settle does what is left to do after an import: it ties records to runners that are in
// the configuration again, and tells what was taken over. It is called at every start,
// before the manager reads the ledger.
func Settle(ctx context.Context, ledger Ledger, runners []config.Runner, now time.Time, log *slog.Logger) error {
	snap, err := ledger.Load(ctx)
	if err != nil {
		return fmt.Errorf("look for records of the Python program: %w", err)
	}
	change, problems := tie(snap, runners, now.UTC().Truncate(time.Microsecond))
	for _, problem := range problems {
		log.Warn("a job of the Python program is kept", "err", problem)
	}
	if len(change.Jobs)+len(change.Instances) > 0 {
		if err := ledger.Commit(ctx, change); err != nil {
			return fmt.Errorf("tie records of the Python program to their runners: %w", err)
		}
		log.Info("records of the Python program are tied to their runners again", "jobs", len(change.Jobs)/2, "instances", len(change.Instances))
	}
	return Tell(ctx, ledger, log)
}

// tie gives the records of absent runners to those that are back. A job's identity holds
// its coordinator, so it becomes another record, and the old one is closed.
func tie(snap store.Snapshot, runners []config.Runner, now time.Time) (store.Change, []error) {
	change := store.Change{Name: "tie"}
	var problems []error
	jobs := map[fleet.JobID]fleet.Job{} // as they are now, by what they were
	for _, old := range snap.Jobs {
		found, err := back(runners, old.Owner, resourceKept(snap, old), old.Payload)
		if err != nil {
			problems = append(problems, err)
		}
		if !found.configured {
			continue
		}
		job := old
		if multiTenant(runners, found.owner) && job.Namespace == "" {
			job.Namespace = rootOf(job.Payload)
		}
		job.Owner, job.Runner, job.Coordinator = found.owner, found.name, found.coordinator
		jobs[old.JobID] = job
		old.State, old.Result, old.ClosedAt = fleet.JobClosed, "tied to its runner", now
		change.Jobs = append(change.Jobs, old, job)
	}
	for _, vm := range snap.Instances {
		if job, tied := jobs[vm.Job]; tied {
			vm.Owner, vm.Runner, vm.Job, vm.Namespace = job.Owner, job.Runner, job.JobID, job.Namespace
		} else if found, err := back(runners, vm.Owner, &Resource{Kind: KindClever, Namespace: vm.Namespace}, nil); err == nil && found.configured {
			vm.Owner, vm.Runner = found.owner, found.name
		} else {
			continue
		}
		change.Instances = append(change.Instances, vm)
	}
	return change, problems
}

// back finds the configured runner of a record that was made while it was absent.
func back(runners []config.Runner, owner fleet.Owner, r *Resource, payload []byte) (owned, error) {
	mark, was := strings.CutPrefix(string(owner), absent)
	if !was {
		return owned{}, nil
	}
	return match(runners, Handle{RunnerName: mark, Resource: r}, payload)
}

// resourceKept is what the records know of a job's instance; nil while it is looked for.
func resourceKept(snap store.Snapshot, job fleet.Job) *Resource {
	for _, vm := range snap.Instances {
		if vm.Job == job.JobID && len(vm.Handle) > 0 {
			return &Resource{Kind: KindClever, Namespace: vm.Namespace}
		}
	}
	return nil
}

// Absent names the runners of a plan that are not in the configuration.
func Absent(change store.Change) []string {
	var out []string
	add := func(owner fleet.Owner, name string) {
		if strings.HasPrefix(string(owner), absent) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, job := range change.Jobs {
		add(job.Owner, job.Runner)
	}
	for _, vm := range change.Instances {
		add(vm.Owner, vm.Runner)
	}
	slices.Sort(out)
	return out
}
