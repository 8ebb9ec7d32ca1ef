// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/fleet"
)

// things are what an instance has started, by what they are removed by.
type things struct {
	containers, networks, volumes []string
}

func (t things) empty() bool { return len(t.containers)+len(t.networks)+len(t.volumes) == 0 }

// memory is what was seen of an instance's networks and volumes. gitlab-runner puts no
// label of ours on them; those that don't show our runner either (its token may have been
// changed) are known by the containers that use them. It is kept in the instance's
// container, for whoever goes on when those containers are removed.
type memory struct {
	Networks []string `json:"networks"`
	Volumes  []string `json:"volumes"`
}

// gather finds what an instance has started and what is still there.
func (p *Provisioner) gather(ctx context.Context, key string, own []container.Summary, known memory) (things, error) {
	var list client.ContainerListResult
	err := p.call(ctx, "list containers", func(ctx context.Context) (err error) {
		list, err = p.docker.ContainerList(ctx, client.ContainerListOptions{All: true})
		return err
	})
	if err != nil {
		return things{}, err
	}
	networks, volumes := slices.Clone(known.Networks), slices.Clone(known.Volumes)
	var found things
	for _, c := range list.Items {
		if c.Labels[KeyLabel] == key && !isInstance(c) || p.made(key, c.Labels) {
			found.containers = append(found.containers, c.ID)
			networks, volumes = append(networks, networksOf(c)...), append(volumes, volumesOf(c)...)
		}
	}
	if found.networks, err = p.networks(ctx, key, networks); err != nil {
		return things{}, err
	}
	if found.volumes, err = p.volumes(ctx, key, volumes); err != nil {
		return things{}, err
	}
	for _, c := range list.Items {
		if !slices.Contains(found.containers, c.ID) && belongs(c, own, found) {
			found.containers = append(found.containers, c.ID)
		}
	}
	return found, nil
}

// made tells what gitlab-runner has made for the key's job by what it says on it: managed,
// for this job, by our runner. That is on all it makes, from the first moment; our own
// label is on most of its containers only.
func (p *Provisioner) made(key string, labels map[string]string) bool {
	return forJob(key, labels) && p.cfg.ShortToken != "" && labels[runnerLabel] == p.cfg.ShortToken && (labels[KeyLabel] == "" || labels[KeyLabel] == key)
}

// forJob tells what some gitlab-runner has made for a job of that number.
func forJob(key string, labels map[string]string) bool {
	_, job, ok := fleet.ParseKey(key)
	return ok && labels[managedLabel] == "true" && labels[jobLabel] == strconv.FormatInt(job, 10)
}

// belongs tells a container of gitlab-runner's that carries no label of ours, as those do
// that it makes for a moment: it is on a network or volume of the instance's.
func belongs(c container.Summary, own []container.Summary, found things) bool {
	if c.Labels[managedLabel] != "true" || c.Labels[KeyLabel] != "" || slices.ContainsFunc(own, func(o container.Summary) bool { return o.ID == c.ID }) {
		return false
	}
	in := func(list []string) func(string) bool {
		return func(one string) bool { return slices.Contains(list, one) }
	}
	return slices.ContainsFunc(networksOf(c), in(found.networks)) || slices.ContainsFunc(volumesOf(c), in(found.volumes))
}

func networksOf(c container.Summary) []string {
	var out []string
	if c.NetworkSettings != nil {
		for _, on := range c.NetworkSettings.Networks {
			if on != nil && on.NetworkID != "" {
				out = append(out, on.NetworkID)
			}
		}
	}
	return out
}

func volumesOf(c container.Summary) []string {
	var out []string
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume && m.Name != "" {
			out = append(out, m.Name)
		}
	}
	return out
}

// networks gives those that the relay made for the key, and those that gitlab-runner made for
// its job: by our runner, or among the candidates. Docker's own and the operator's are
// nobody's to remove.
func (p *Provisioner) networks(ctx context.Context, key string, candidates []string) ([]string, error) {
	var list client.NetworkListResult
	err := p.call(ctx, "list networks", func(ctx context.Context) (err error) {
		list, err = p.docker.NetworkList(ctx, client.NetworkListOptions{})
		return err
	})
	var out []string
	for _, n := range list.Items {
		if n.Labels[relayKeyLabel] == key || p.made(key, n.Labels) || forJob(key, n.Labels) && slices.Contains(candidates, n.ID) {
			out = append(out, n.ID)
		}
	}
	return out, err
}

// volumes gives those that gitlab-runner made for the key's job: by our runner, or among
// the candidates.
func (p *Provisioner) volumes(ctx context.Context, key string, candidates []string) ([]string, error) {
	var list client.VolumeListResult
	err := p.call(ctx, "list volumes", func(ctx context.Context) (err error) {
		list, err = p.docker.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("label", managedLabel+"=true")})
		return err
	})
	var out []string
	for _, v := range list.Items {
		if p.made(key, v.Labels) || forJob(key, v.Labels) && slices.Contains(candidates, v.Name) {
			out = append(out, v.Name)
		}
	}
	return out, err
}

// noteFile keeps the memory, in the folder of the instance's files.
const noteFile = ".left.json"

// note writes down what is about to lose the containers by which it is known.
func (p *Provisioner) note(ctx context.Context, own []container.Summary, known *memory, found things) error {
	merged := memory{Networks: union(known.Networks, found.networks), Volumes: union(known.Volumes, found.volumes)}
	if len(merged.Networks)+len(merged.Volumes) == len(known.Networks)+len(known.Volumes) || len(own) == 0 {
		return nil
	}
	text, err := json.Marshal(merged)
	if err != nil {
		return fmt.Errorf("note what is left: %w", err)
	}
	archive, err := packed([]fleet.File{{Path: noteFile, Data: text}})
	if err != nil {
		return err
	}
	*known = merged
	return p.gone(ctx, "note what is left", func(ctx context.Context) error {
		_, err := p.docker.CopyToContainer(ctx, own[0].ID, client.CopyToContainerOptions{DestinationPath: "/", Content: archive})
		return err
	})
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// recall reads what a destruction that was cut has noted.
func (p *Provisioner) recall(ctx context.Context, own []container.Summary) (memory, error) {
	var known memory
	if len(own) == 0 {
		return known, nil
	}
	err := p.gone(ctx, "read what was left", func(ctx context.Context) error {
		answer, err := p.docker.CopyFromContainer(ctx, own[0].ID, client.CopyFromContainerOptions{SourcePath: folder + "/" + noteFile})
		if err != nil {
			return err
		}
		defer answer.Content.Close()
		r := tar.NewReader(answer.Content)
		if _, err := r.Next(); err != nil {
			return err
		}
		text, err := readMost(r, 1<<20)
		if errors.Is(err, errTooLarge) || err == nil && json.Unmarshal(text, &known) != nil {
			known, err = memory{}, nil // cut while it was written, or the job has changed it
		}
		return err
	})
	return known, err
}
