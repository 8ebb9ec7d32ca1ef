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

// handle names an instance: by its key, since an engine gives a name to one container
// only, and what the instance has started shows the key as well when that is gone.
type handle struct {
	Key string `json:"key"`
}

// mustBe refuses a handle of another instance than the one that is named.
func mustBe(ref cloud.Ref) error {
	if len(ref.Handle) == 0 {
		return nil
	}
	var h handle
	if err := json.Unmarshal(ref.Handle, &h); err != nil || h.Key == "" {
		return &fleet.CallError{Class: fleet.Unknown, Err: errors.New("the handle is not one of a container")}
	}
	if h.Key != ref.Key {
		return &fleet.CallError{Class: fleet.Permanent, Err: fmt.Errorf("the handle is that of %q: %w", h.Key, fleet.ErrNotOurs)}
	}
	return nil
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
		return p.remains(others[0]), nil
	}
	return cloud.Sighting{}, &fleet.CallError{Class: fleet.Permanent, Err: fmt.Errorf("inspect %s: %w", ref.Key, fleet.ErrNotFound)}
}

// find gives the containers of exactly that key, those of the instance itself apart.
// fleet.ErrNotOurs when the handle is that of another key.
func (p *Provisioner) find(ctx context.Context, ref cloud.Ref) (own, others []container.Summary, err error) {
	if err := mustBe(ref); err != nil {
		return nil, nil, err
	}
	all, err := p.labelled(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range all {
		switch {
		case c.Labels[KeyLabel] != ref.Key:
		case isInstance(c):
			own = append(own, c)
		default:
			others = append(others, c)
		}
	}
	return own, others, nil
}

// sighting is how an instance's container shows it.
func (p *Provisioner) sighting(c container.Summary) cloud.Sighting {
	seen := p.remains(c)
	seen.Life, seen.Flavor = lifeOf(c), c.Labels[FlavorLabel]
	return seen
}

// remains is how something that an instance has started shows it.
func (p *Provisioner) remains(c container.Summary) cloud.Sighting {
	key := c.Labels[KeyLabel]
	raw, err := json.Marshal(handle{Key: key})
	if err != nil {
		raw = nil // not with a string
	}
	return cloud.Sighting{Key: key, Handle: raw, Life: cloud.LifeEnded, Zone: p.host, CreatedAt: time.Unix(c.Created, 0).UTC()}
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
