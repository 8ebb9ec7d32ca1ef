// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
)

// Create implements cloud.Provisioner: the container, not started. Its name is the key,
// and a name can be taken once, so a repetition finds the first one.
func (p *Provisioner) Create(ctx context.Context, spec cloud.Spec) (cloud.Sighting, error) {
	flavor, err := p.flavor(spec.Flavor)
	if err != nil {
		return cloud.Sighting{}, fmt.Errorf("create container %s: %w", spec.Key, err)
	}
	if err := p.provide(ctx, spec.Progress); err != nil {
		return cloud.Sighting{}, before("create", spec.Key, err)
	}
	err = p.call(ctx, "create container "+spec.Key, func(ctx context.Context) error {
		_, err := p.docker.ContainerCreate(ctx, p.options(spec.Key, flavor))
		return err
	})
	if err != nil && !errdefs.IsConflict(err) {
		return cloud.Sighting{}, p.noImage(err)
	}
	taken := err != nil
	seen, err := p.Inspect(ctx, cloud.Ref{Key: spec.Key, Tenant: spec.Tenant})
	switch {
	case taken && errors.Is(err, fleet.ErrNotFound):
		text := "a container of the name " + spec.Key + " is there and does not carry our label"
		return cloud.Sighting{}, &fleet.CallError{Class: fleet.Permanent, UserText: text, Err: fmt.Errorf("%s: %w", text, fleet.ErrNotOurs)}
	case err != nil:
		return cloud.Sighting{}, &fleet.CallError{
			Class: fleet.Unknown, UserText: fleet.UserTextOf(err), Err: fmt.Errorf("create container %s: it was made: %w", spec.Key, err),
		}
	}
	return seen, nil
}

// noImage tells a missing image from other things that are not there.
func (p *Provisioner) noImage(err error) error {
	if !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	if p.cfg.PullPolicy != PullNever {
		text := fmt.Sprintf("the image %s is not on the Docker Engine any more", p.cfg.Image)
		return &fleet.CallError{Class: fleet.Transient, UserText: text, Err: fmt.Errorf("%s: %w", text, err)}
	}
	text := fmt.Sprintf("the image %s is not on the Docker Engine, and it may not be pulled", p.cfg.Image)
	return &fleet.CallError{Class: fleet.Permanent, UserText: text, Err: fmt.Errorf("%s: %w", text, err)}
}

// options describe an instance's container. It runs as root: the socket is root's.
func (p *Provisioner) options(key string, f Flavor) client.ContainerCreateOptions {
	host := &container.HostConfig{
		Binds: []string{p.socket + ":" + usualSocket},
		// Where the engine remaps users, the socket stays root's.
		UsernsMode: "host",
	}
	host.NanoCPUs = int64(f.CPUs * float64(time.Second))
	host.Memory, host.MemorySwap = f.Memory, f.Memory
	host.CgroupParent = f.CgroupParent
	return client.ContainerCreateOptions{
		Name: key,
		Config: &container.Config{
			Image: p.cfg.Image, User: "0:0", Entrypoint: p.entryPoint(),
			Labels: map[string]string{KeyLabel: key, RoleLabel: roleInstance, FlavorLabel: f.Name},
		},
		HostConfig: host,
	}
}

// entryPoint is what the instance runs: the same as what its Dockerfile says, which is
// not built here. The relay lies with the other files.
func (p *Provisioner) entryPoint() []string {
	if p.cfg.SubRunner == hostfile.ModeExecFetchedJob {
		return []string{"/usr/bin/gitlab-runner", "exec-fetched-job", "--config", hostfile.Folder + hostfile.RunnerFile, hostfile.Folder + hostfile.JobFile}
	}
	return []string{hostfile.Folder + hostfile.RelayBinary, hostfile.Folder + hostfile.RelayFile}
}

// before classifies what failed before anything was asked to be made or started.
func before(verb, key string, err error) error {
	class := fleet.ClassOf(err)
	if class == fleet.Unknown {
		class = fleet.Transient
	}
	return &fleet.CallError{Class: class, UserText: fleet.UserTextOf(err), Err: fmt.Errorf("%s %s: %w", verb, key, err)}
}
