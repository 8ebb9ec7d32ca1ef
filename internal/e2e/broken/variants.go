// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// variant is one mistake.
type variant struct {
	name   string
	breaks string // the invariant
	about  string
	edits  []edit
}

type edit struct{ file, old, now string }

const (
	adopt   = "internal/manager/adopt.go"
	destroy = "internal/manager/destroy.go"
	failing = "internal/manager/failing.go"
	fuse    = "internal/manager/fuse.go"
	launch  = "internal/manager/launch.go"
	machine = "internal/manager/machine.go"
	start   = "internal/manager/start.go"
	status  = "internal/manager/status.go"
	ledger  = "internal/manager/store.go"
	sweep   = "internal/manager/sweep.go"
	twin    = "internal/manager/twin.go"
	push    = "internal/cloud/clever/start.go"
)

func variants() []variant {
	return slices.Concat(recording(), starting(), ending(), removing(), sweeping())
}

// recording are mistakes on the way from a job to its instance.
func recording() []variant {
	return []variant{
		{"commit_after_call", "I2", "that an instance is being created is committed after the call", []edit{{
			machine, `	if !m.change(ctx, "create", nil, vm, func(d draft) {
		d.vm.State = fleet.InstanceCreating
		d.vm.Creates++
	}) {
		return
	}
`, `	creating := func() bool {
		return m.change(ctx, "create", nil, vm, func(d draft) {
			d.vm.State = fleet.InstanceCreating
			d.vm.Creates++
		})
	}
	if !broken("commit_after_call") && !creating() {
		return
	}
`,
		}, {
			machine, `		seen, err := prov.Create(ctx, spec)
		return func() {
			vm.busy = false
`, `		seen, err := prov.Create(ctx, spec)
		return func() {
			vm.busy = false
			if broken("commit_after_call") && !creating() {
				return
			}
`,
		}}},
		{"acquire_not_committed", "I1", "an acquired job is kept in memory only until its first change", []edit{{
			ledger, `	err := m.deps.Ledger.Commit(context.WithoutCancel(ctx), change)
	if err == nil {
`, `	if broken("acquire_not_committed") && change.Name == "acquire" {
		return true
	}
	err := m.deps.Ledger.Commit(context.WithoutCancel(ctx), change)
	if err == nil {
`,
		}}},
		{"empty_id_never_created", "I2", "after a crash, an instance without a handle is taken for one that was never created", []edit{{
			machine, `	case fleet.InstanceCreating: // sent by an earlier life of this process: the answer is lost
		m.change(ctx, "unknown", nil, vm, func(d draft) { d.vm.State = fleet.InstanceUnknown })
`, `	case fleet.InstanceCreating: // sent by an earlier life of this process: the answer is lost
		if broken("empty_id_never_created") {
			m.change(ctx, "not created", nil, vm, func(d draft) { d.vm.State = fleet.InstanceIntended })
			return
		}
		m.change(ctx, "unknown", nil, vm, func(d draft) { d.vm.State = fleet.InstanceUnknown })
`,
		}}},
		{"first_absence", "I2", "one list without the instance proves that it was never created", []edit{{
			machine, `	if vm.absent < absences || now.Sub(vm.absentAt) < settle {`,
			`	if !broken("first_absence") && (vm.absent < absences || now.Sub(vm.absentAt) < settle) {`,
		}}},
		{"retry_unknown", "I2", "a create whose answer was lost is sent again", []edit{{
			machine, `	switch class {
	case fleet.Permanent:
`, `	if broken("retry_unknown") && class == fleet.Unknown {
		class = fleet.Transient
	}
	switch class {
	case fleet.Permanent:
`,
		}}},
	}
}

// starting are mistakes when a job is started.
func starting() []variant {
	return []variant{
		{"start_twice", "I2", "an instance that was started already is started again", []edit{{
			push, `import (
	"context"
`, `import (
	"context"
	"errors"
`,
		}, {
			push, `	if err := gitpush.Push(ctx, target, branch, files, "Job definition"); err != nil {
`, `	if err := gitpush.Push(ctx, target, branch, files, "Job definition"); err != nil {
		if broken("start_twice") && errors.Is(err, fleet.ErrAlreadyStarted) {
			h, _ := parseHandle(ref)
			_ = p.api.call(ctx, request{what: "start again", method: "POST", path: h.path() + "/instances", token: ref.Tenant.Token}, nil)
		}
`,
		}}},
		{"prefix_not_frozen", "I1", "a line is written to the trace after the start", []edit{{
			start, `	j.trace.next = time.Now().Add(m.jitter(j.runner.cfg.TraceWatch.PollStep))
}
`, `	j.trace.next = time.Now().Add(m.jitter(j.runner.cfg.TraceWatch.PollStep))
	if client, rec := j.runner.client, j.rec; broken("prefix_not_frozen") {
		m.do(context.WithoutCancel(ctx), "too late", callTimeout, func(ctx context.Context) event {
			_, _ = client.AppendTrace(ctx, rec.ID, rec.Token, int64(len(rec.Prefix)), []byte(line("started")))
			return func() {}
		})
	}
}
`,
		}}},
		{"quota_ignored", "I3", "twice the quota is launched", []edit{{
			launch, `		id, reason := schedule.MayLaunch(limits, usage, waiting, time.Now())
`, `		if broken("quota_ignored") {
			limits.Quota *= 2
		}
		id, reason := schedule.MayLaunch(limits, usage, waiting, time.Now())
`,
		}}},
		{"token_logged", "I7", "a job's token is logged", []edit{{
			start, `	rc := j.runner.cfg
`, `	if broken("token_logged") {
		m.log.Debug("starting", "job", j.rec.ID, "token", j.rec.Token.Reveal())
	}
	rc := j.runner.cfg
`,
		}}},
		{"real_token_pushed", "I7", "the runner's own token goes to the instance", []edit{{
			start, `	if m.cfg.AdvertiseURL != "" {
`, `	if broken("real_token_pushed") {
		host.StandIn = rc.Token
	}
	if m.cfg.AdvertiseURL != "" {
`,
		}}},
	}
}

// ending are mistakes about a job's end.
func ending() []variant {
	return []variant{
		{"bare_401", "I1", "one refusal of a job's token is taken for the job's end", []edit{{
			status, `	if len(j.refused) < refusals || !j.rec.State.CanMove(fleet.JobFinished) {
		return
	}
	if m.refusalsMeanEnd(j) {
`, `	if !j.rec.State.CanMove(fleet.JobFinished) || len(j.refused) < refusals && !broken("bare_401") {
		return
	}
	if broken("bare_401") || m.refusalsMeanEnd(j) {
`,
		}}},
		{"end_before_gone", "I2", "a job is ended by us while its instance may still speak", []edit{{
			failing, `	if j.maySpeak() {`, `	if !broken("end_before_gone") && j.maySpeak() {`,
		}}},
	}
}

// removing are mistakes on the way to an instance's end.
func removing() []variant {
	return []variant{
		{"weight_freed_early", "I3", "an instance's weight is free when its deletion is asked for", []edit{{
			launch, `		if vm.rec.State.Counts() {
`, `		if vm.rec.State.Counts() && !(broken("weight_freed_early") && vm.rec.State == fleet.InstanceDeleting) {
`,
		}}},
	}
}

// sweeping are mistakes about what stands in no record.
func sweeping() []variant {
	return []variant{
		{"no_proof", "I4", "what begins like one of our keys is ours", []edit{{
			sweep, `		if !ok || m.ownerRunner(owner, false) != r {
`, `		if broken("no_proof") && len(s.Key) > len(r.cfg.Owner.KeyPrefix()) && s.Key[:8] == "hpd-job-" {
			owner, ok = r.cfg.Owner, true
		}
		if !ok || m.ownerRunner(owner, false) != r {
`,
		}}},
		{"fuse_ignored", "I4", "any number of unrecorded instances is destroyed", []edit{{
			fuse, `	if f.blown != "" {
		return false
	}
	now`, `	if broken("fuse_ignored") {
		return true
	}
	if f.blown != "" {
		return false
	}
	now`,
		}}},
		{"delete_once", "I5", "an instance whose deletion failed is forgotten", []edit{{
			destroy, `				m.destroyFailed(vm, err)
				return
			}
			vm.destroyed = true
`, `				if broken("delete_once") {
					m.gone(ctx, vm)
					return
				}
				m.destroyFailed(vm, err)
				return
			}
			vm.destroyed = true
`,
		}}},
		{"gone_when_accepted", "I3", "an accepted deletion is taken for a done one", []edit{{
			destroy, `			vm.next = time.Now() // look at once`, `			if broken("gone_when_accepted") {
				m.gone(ctx, vm)
			}
			vm.next = time.Now() // look at once`,
		}}},
		{"no_adoption", "I6", "what stands in no record is left alone for ever", []edit{{
			adopt, `	x := m.unrecorded[strangerID(s)]
	if x == nil`, `	if broken("no_adoption") {
		return
	}
	x := m.unrecorded[strangerID(s)]
	if x == nil`,
		}}},
		{"twin_left", "I5", "a second instance under one key is left alone", []edit{{
			twin, `	if s.Life != cloud.LifeCreated ||`, `	if broken("twin_left") || s.Life != cloud.LifeCreated ||`,
		}, {
			adopt, `	case x.recorded:
`, `	case x.recorded && broken("twin_left"):
	case x.recorded:
`,
		}}},
		{"missing_means_gone", "I5", "an instance that one list does not show is gone", []edit{{
			sweep, `			vm.missing++
`, `			vm.missing++
			if broken("missing_means_gone") {
				m.gone(ctx, vm)
			}
`,
		}}},
	}
}
