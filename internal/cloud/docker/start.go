// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// Start implements cloud.Provisioner: the files are put into the container, then it is
// started, which is the commit point. A container that has run is never started again.
func (p *Provisioner) Start(ctx context.Context, ref cloud.Ref, files []fleet.File) error {
	c, err := p.one(ctx, ref)
	if err != nil {
		return before("start", ref.Key, err)
	}
	if lifeOf(c) != cloud.LifeCreated {
		return &fleet.CallError{Class: fleet.Permanent, Err: fmt.Errorf("start %s: %w", ref.Key, fleet.ErrAlreadyStarted)}
	}
	text, err := pack(files)
	if err != nil {
		return before("start", ref.Key, err)
	}
	err = p.call(ctx, "put files into container "+ref.Key, func(ctx context.Context) error {
		_, err := p.docker.CopyToContainer(ctx, c.ID, client.CopyToContainerOptions{DestinationPath: "/", Content: text})
		return err
	})
	if err != nil {
		return before("start", ref.Key, err)
	}
	err = p.call(ctx, "start container "+ref.Key, func(ctx context.Context) error {
		_, err := p.docker.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
		return err
	})
	if err != nil {
		return p.noProgram(err)
	}
	return nil
}

// noProgram reads the engine's refusal to run what is not in the image.
func (p *Provisioner) noProgram(err error) error {
	text := err.Error()
	for _, sign := range []string{"executable file not found", "no such file or directory", "exec format error", "permission denied: unknown"} {
		if strings.Contains(text, sign) && strings.Contains(text, "runtime") {
			user := fmt.Sprintf("the image %s can't run %s: %s", p.cfg.Image, p.entryPoint()[0], cause(err))
			return &fleet.CallError{Class: fleet.Permanent, UserText: user, Err: err}
		}
	}
	return err
}

// one gives the instance's own container, which must be there.
func (p *Provisioner) one(ctx context.Context, ref cloud.Ref) (container.Summary, error) {
	own, _, err := p.find(ctx, ref)
	if err == nil && len(own) == 0 {
		err = &fleet.CallError{Class: fleet.Permanent, UserText: "its container is gone", Err: fleet.ErrNotFound}
	}
	if err != nil {
		return container.Summary{}, err
	}
	return own[0], nil
}

// Recover implements cloud.Provisioner: the files are in the container until it goes,
// beside those that the relay wrote.
func (p *Provisioner) Recover(ctx context.Context, ref cloud.Ref) ([]fleet.File, error) {
	what := "recover files of " + ref.Key
	c, err := p.one(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if lifeOf(c) == cloud.LifeCreated {
		return nil, &fleet.CallError{Class: fleet.Permanent, Err: fmt.Errorf("%s: it was never started: %w", what, fleet.ErrNotFound)}
	}
	var files []fleet.File
	err = p.call(ctx, what, func(ctx context.Context) error {
		archive, err := p.fetch(ctx, c.ID)
		if err != nil {
			return err
		}
		defer archive.Close()
		files, err = unpack(archive)
		return err
	})
	return files, err
}

func (p *Provisioner) fetch(ctx context.Context, id string) (io.ReadCloser, error) {
	answer, err := p.docker.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: folder})
	if err != nil {
		return nil, err
	}
	if answer.Content == nil {
		return nil, errors.New("the engine answers without an archive")
	}
	return answer.Content, nil
}
