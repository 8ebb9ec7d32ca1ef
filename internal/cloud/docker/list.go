// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// handle finds an instance's container again.
type handle struct {
	ID string `json:"container_id"`
}

// parseHandle reads a handle that there may be none of.
func parseHandle(raw []byte) (handle, error) {
	if len(raw) == 0 {
		return handle{}, nil
	}
	var h handle
	if err := json.Unmarshal(raw, &h); err != nil || h.ID == "" {
		return handle{}, &fleet.CallError{Class: fleet.Unknown, Err: errors.New("the handle is not one of a container")}
	}
	return h, nil
}

// List implements cloud.Provisioner: one call, for the containers that carry our label.
func (p *Provisioner) List(ctx context.Context, _ cloud.Tenant, owner fleet.Owner) ([]cloud.Sighting, error) {
	all, err := p.labelled(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var out []cloud.Sighting
	known := map[string]bool{}
	for _, c := range all {
		if key := c.Labels[KeyLabel]; isInstance(c) && strings.HasPrefix(key, owner.KeyPrefix()) {
			known[key] = true
			out = append(out, p.sighting(c))
		}
	}
	for _, c := range all { // what an instance has started, when its own container is gone
		if key := c.Labels[KeyLabel]; !known[key] && strings.HasPrefix(key, owner.KeyPrefix()) {
			known[key] = true
			out = append(out, p.remains(c))
		}
	}
	slices.SortFunc(out, func(a, b cloud.Sighting) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

// labelled lists all containers with our label, running or not.
func (p *Provisioner) labelled(ctx context.Context) ([]container.Summary, error) {
	var list client.ContainerListResult
	err := p.call(ctx, "list containers with label "+KeyLabel, func(ctx context.Context) (err error) {
		list, err = p.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", KeyLabel)})
		return err
	})
	return list.Items, err
}

func isInstance(c container.Summary) bool { return c.Labels[RoleLabel] == roleInstance }

// Inspect implements cloud.Provisioner. An instance whose own container is gone while
// something that it started is there still exists, and has ended.
func (p *Provisioner) Inspect(ctx context.Context, ref cloud.Ref) (cloud.Sighting, error) {
	own, others, err := p.find(ctx, ref)
	switch {
	case err != nil:
		return cloud.Sighting{}, fmt.Errorf("inspect %s: %w", ref.Key, err)
	case len(own) > 0:
		return p.sighting(own[0]), nil
	case len(others) > 0:
		seen := p.remains(others[0])
		if len(ref.Handle) > 0 {
			seen.Handle = ref.Handle
		}
		return seen, nil
	}
	return cloud.Sighting{}, &fleet.CallError{Class: fleet.Permanent, Err: fmt.Errorf("inspect %s: %w", ref.Key, fleet.ErrNotFound)}
}

// find gives the containers of exactly that key, those of the instance itself apart.
// fleet.ErrNotOurs when the handle's container carries another key.
func (p *Provisioner) find(ctx context.Context, ref cloud.Ref) (own, others []container.Summary, err error) {
	h, err := parseHandle(ref.Handle)
	if err != nil {
		return nil, nil, err
	}
	all, err := p.labelled(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range all {
		switch key := c.Labels[KeyLabel]; {
		case c.ID == h.ID && (key != ref.Key || !isInstance(c)):
			return nil, nil, &fleet.CallError{Class: fleet.Permanent, Err: fmt.Errorf("container %s carries the key %q: %w", h.ID, key, fleet.ErrNotOurs)}
		case key != ref.Key:
		case isInstance(c) && (h.ID == "" || h.ID == c.ID):
			own = append(own, c)
		case !isInstance(c):
			others = append(others, c)
		}
	}
	return own, others, nil
}

// sighting is how an instance's container shows it.
func (p *Provisioner) sighting(c container.Summary) cloud.Sighting {
	return cloud.Sighting{
		Key: c.Labels[KeyLabel], Handle: handleOf(c.ID), Life: lifeOf(c), Flavor: c.Labels[FlavorLabel],
		Zone: p.host, CreatedAt: time.Unix(c.Created, 0).UTC(),
	}
}

// remains is how something that an instance has started shows it.
func (p *Provisioner) remains(c container.Summary) cloud.Sighting {
	return cloud.Sighting{Key: c.Labels[KeyLabel], Life: cloud.LifeEnded, Zone: p.host, CreatedAt: time.Unix(c.Created, 0).UTC()}
}

func handleOf(id string) []byte {
	raw, err := json.Marshal(handle{ID: id})
	if err != nil {
		return nil // not with a string
	}
	return raw
}

func lifeOf(c container.Summary) cloud.Life {
	switch c.State {
	case container.StateCreated:
		return cloud.LifeCreated
	case container.StateExited, container.StateDead, container.StateRemoving:
		return cloud.LifeEnded
	}
	return cloud.LifeAlive
}
