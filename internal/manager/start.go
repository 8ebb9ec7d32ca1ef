// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
)

// The two ways in which a job is run on its instance (DESIGN section 8).
const (
	modeRelay = "relay"
	modeExec  = "exec-fetched-job"
)

// noticePath is where an instance's notices go, below paas_advertise_url.
const noticePath = "/api/v1/notice"

// start starts the job on its instance: the commit point. That it may have been sent
// is recorded already; a repetition finds the instance started and does nothing.
func (m *Manager) start(ctx context.Context, vm *machine) {
	j := vm.job
	ref, err := vm.ref()
	if err != nil {
		m.withoutCredential(vm, err)
		return
	}
	files, err := m.files(j)
	if err != nil {
		m.log.Warn("the files for the instance can't be made", "job", j.rec.ID, "err", err)
		m.fail(ctx, j, reasonSystem, "The files for the instance could not be made: "+userText(err)+".")
		return
	}
	vm.busy = true
	prov := vm.runner.prov
	m.do(ctx, "start", startTimeout, func(ctx context.Context) event {
		err := prov.Start(ctx, ref, files)
		return func() {
			vm.busy = false
			if err == nil || errors.Is(err, fleet.ErrAlreadyStarted) {
				m.startedOn(ctx, vm)
				return
			}
			m.startFailed(ctx, vm, err)
		}
	})
}

// startedOn records that the job was started; the payload is needed no more.
func (m *Manager) startedOn(ctx context.Context, vm *machine) {
	vm.ok()
	vm.lastText, vm.unsure = "", true // should that not get into the ledger, it is asked for again
	j := vm.job
	if j == nil || vm.rec.State != fleet.InstanceCreated {
		return
	}
	m.change(ctx, "started", j, vm, func(d draft) {
		d.vm.State = fleet.InstanceStarted
		d.vm.StartedAt = stamp()
		d.job.Payload = nil
	})
	j.trace.next = time.Now().Add(m.jitter(j.runner.cfg.TraceWatch.PollStep))
}

// startFailed: permanent ends the job, unless an earlier try may have taken effect: the
// sub-runner may work then, whatever is refused now. Everything else is tried again, since
// a start that took effect after all answers so.
func (m *Manager) startFailed(ctx context.Context, vm *machine, err error) {
	vm.failed(m, createBase, createCap, fleet.RetryAfterOf(err))
	vm.lastText = userText(err)
	vm.runner.refusedCredential(vm.rec.Namespace, err)
	m.log.Warn("start failed", "instance", vm.rec.Key, "class", fleet.ClassOf(err).String(), "err", err)
	class := m.readAgain(vm, err)
	vm.unsure = vm.unsure || class == fleet.Unknown
	if class == fleet.Permanent && !vm.unsure && vm.job != nil && vm.job.rec.State == fleet.JobStarting {
		m.fail(ctx, vm.job, reasonSystem, "The platform refuses to start the job on its instance: "+vm.lastText)
	}
}

// files renders what the instance is given.
func (m *Manager) files(j *job) ([]fleet.File, error) {
	payload, err := coordinator.ParsePayload(j.rec.Payload)
	if err != nil {
		return nil, fmt.Errorf("read the payload of job %d: %w", j.rec.ID, err)
	}
	rc := j.runner.cfg
	host := hostfile.Host{
		Mode: rc.SubRunner, MainImage: rc.MainImage,
		RelayBinary: m.deps.RelayBinary, RelayImage: m.cfg.RelayImage, RelaySubnet: rc.RelaySubnet,
		RunnerName: rc.Name, Forward: rc.Forward,
		Coordinator: rc.Coordinator, CoordinatorURL: rc.URL,
		Payload: j.rec.Payload, KeepImages: !rc.DependencyProxy, JobID: j.rec.ID, Git: isGit(payload.RepoURL), Key: j.vm.rec.Key,
		StandIn:     hostfile.StandIn(rc.Token, j.rec.Nonce),
		PrefixBytes: int64(len(j.rec.Prefix)), PrefixCRC32: crc32.ChecksumIEEE([]byte(j.rec.Prefix)),
		AcquiredAt: j.rec.AcquiredAt, Timeout: j.rec.Timeout,
		CA: j.runner.ca, ClientCert: j.runner.cert, ClientKey: j.runner.key,
	}
	if m.cfg.AdvertiseURL != "" {
		host.NoticeURL = strings.TrimRight(m.cfg.AdvertiseURL, "/") + noticePath
		host.NoticeBearer = hostfile.NoticeBearer(j.rec.Nonce)
	}
	if shaper, ok := cloud.As[cloud.Shaper](j.runner.prov); ok {
		host.Docker = shaper.Shape(j.vm.rec.Key, j.vm.rec.Flavor)
	}
	return hostfile.Render(host)
}

// isGit tells Git projects from Mercurial ones, for which clone_url must not be set.
func isGit(repoURL string) bool { return strings.HasSuffix(repoURL, ".git") }
