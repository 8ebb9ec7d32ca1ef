// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// rounds is how often what is left is removed: what the engine was doing when the
// sub-runner was killed may come to be after the first look.
const rounds = 5

// Destroy implements cloud.Provisioner. The instance's own container is killed first, so
// that it starts nothing more, and removed last: while it is there, the instance is
// known to exist, and a repetition goes on where this one was cut.
func (p *Provisioner) Destroy(ctx context.Context, ref cloud.Ref) error {
	own, _, err := p.find(ctx, ref)
	if err != nil {
		return fmt.Errorf("destroy %s: %w", ref.Key, err)
	}
	for _, c := range own {
		if c.State == container.StateRunning || c.State == container.StatePaused {
			if err := p.kill(ctx, c.ID); err != nil {
				return fmt.Errorf("destroy %s: %w", ref.Key, err)
			}
		}
	}
	if err := p.clear(ctx, ref.Key, own); err != nil {
		return fmt.Errorf("destroy %s: %w", ref.Key, err)
	}
	for _, c := range own {
		if err := p.removeContainer(ctx, c.ID); err != nil {
			return fmt.Errorf("destroy %s: %w", ref.Key, err)
		}
	}
	// What was under way when it was killed has come to be by now, and one that was being
	// started meanwhile may have begun its work.
	if err := p.clear(ctx, ref.Key, nil); err != nil {
		return fmt.Errorf("destroy what is left of %s: %w", ref.Key, err)
	}
	return nil
}

// clear removes what an instance has started until nothing of it is left.
func (p *Provisioner) clear(ctx context.Context, key string, own []container.Summary) error {
	known, err := p.recall(ctx, own)
	if err != nil {
		return err
	}
	for range rounds {
		found, err := p.gather(ctx, key, own, known)
		if err != nil {
			return err
		}
		if found.empty() {
			return nil
		}
		if err := p.note(ctx, own, &known, found); err != nil {
			return err
		}
		if err := p.remove(ctx, found); err != nil {
			return err
		}
	}
	return &fleet.CallError{Class: fleet.Unknown, Err: fmt.Errorf("what it has started is still there after %d rounds", rounds)}
}

// remove removes things in the order in which the engine lets them go.
func (p *Provisioner) remove(ctx context.Context, t things) error {
	for _, id := range t.containers {
		if err := p.removeContainer(ctx, id); err != nil {
			return err
		}
	}
	for _, id := range t.networks {
		if err := p.gone(ctx, "remove network "+id, func(ctx context.Context) error {
			_, err := p.docker.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
			return err
		}); err != nil {
			return err
		}
	}
	for _, name := range t.volumes {
		if err := p.gone(ctx, "remove volume "+name, func(ctx context.Context) error {
			_, err := p.docker.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provisioner) removeContainer(ctx context.Context, id string) error {
	return p.gone(ctx, "remove container "+id, func(ctx context.Context) error {
		_, err := p.docker.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		return err
	})
}

// kill is nil when the container did not run any more.
func (p *Provisioner) kill(ctx context.Context, id string) error {
	return p.gone(ctx, "kill container "+id, func(ctx context.Context) error {
		_, err := p.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
		return err
	})
}

// gone makes a call that takes something away; nil when it is away already. What is in
// use, or being removed by somebody else, is asked for again later: nothing here is a
// refusal for ever.
func (p *Provisioner) gone(ctx context.Context, what string, f func(context.Context) error) error {
	conflict := false
	err := p.call(ctx, what, func(ctx context.Context) error {
		err := f(ctx)
		conflict = errdefs.IsConflict(err) || errdefs.IsPermissionDenied(err) // a network in use is forbidden to remove
		return err
	})
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return nil
	case err != nil && conflict:
		return &fleet.CallError{Class: fleet.Unknown, UserText: "the Docker Engine says that it is in use", Err: err}
	}
	return err
}
