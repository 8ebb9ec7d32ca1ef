// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"regexp"
	"time"
)

// sweepTimeout is how long leftovers of others may delay a job.
const sweepTimeout = time.Minute

// sweep deletes what relays that were killed have left: networks whose relay does
// not run any more (or is ourselves, started again), and the job's containers on
// them. It never fails a job.
func (n *jobNetwork) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	found, err := n.engine.networks(ctx, ownLabel)
	if err != nil {
		n.log.Warn("look for networks left behind", "err", err)
		return
	}
	for _, left := range found {
		if err := n.sweepOne(ctx, left); err != nil {
			n.log.Warn("delete a network left behind", "network", left.Name, "err", err)
		}
	}
}

func (n *jobNetwork) sweepOne(ctx context.Context, left dockerNetwork) error {
	owner := left.Labels[ownLabel]
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(owner) {
		return errors.New("its label names no container: not proven to be a relay's")
	}
	if owner != n.self {
		c, err := n.engine.container(ctx, owner)
		if err == nil && c.State.Running {
			return nil // its relay is at work
		}
		if unlessGone(err) != nil {
			return err
		}
	}
	if err := n.clear(ctx, left); err != nil {
		return err
	}
	// A dead one that is started again would miss a network that it still thinks it is on.
	if err := n.engine.disconnect(ctx, left.ID, owner); err != nil {
		return err
	}
	return n.engine.removeNetwork(ctx, left.ID)
}

// clear removes the containers of a dead sub-runner from a job's network, running or
// not, and the volumes that they had. Only what carries gitlab-runner's label is
// touched: what else is there belongs to somebody.
func (n *jobNetwork) clear(ctx context.Context, net dockerNetwork) error {
	found, err := n.engine.containers(ctx, managedLabel+"=true")
	if err != nil {
		return err
	}
	var volumes []string
	for _, c := range found {
		if c.ID == n.self || !c.isOn(net) {
			continue
		}
		n.log.Warn("remove a container left behind", "container", c.ID, "network", net.Name)
		if err := n.engine.removeContainer(ctx, c.ID); err != nil {
			return err
		}
		for _, m := range c.Mounts {
			if m.Type == "volume" && m.Name != "" {
				volumes = append(volumes, m.Name)
			}
		}
	}
	for _, name := range compact(volumes) {
		if err := n.clearVolume(ctx, name); err != nil {
			n.log.Warn("remove a volume left behind", "volume", name, "err", err)
		}
	}
	return nil
}

func (n *jobNetwork) clearVolume(ctx context.Context, name string) error {
	v, err := n.engine.volume(ctx, name)
	if err != nil || v.Labels[managedLabel] != "true" {
		return unlessGone(err)
	}
	return n.engine.removeVolume(ctx, name)
}
