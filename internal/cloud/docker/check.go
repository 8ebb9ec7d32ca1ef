// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

var _ cloud.Checker = (*Provisioner)(nil)

// Check implements cloud.Checker: the engine answers and can hold what flavors limit, and
// the image is there when it may not be pulled. Nothing is pulled or made.
func (p *Provisioner) Check(ctx context.Context, _ cloud.Tenant) error {
	var info client.SystemInfoResult
	err := p.call(ctx, "ask the Docker Engine at "+p.host, func(ctx context.Context) (err error) {
		info, err = p.docker.Info(ctx, client.InfoOptions{})
		return err
	})
	if err != nil {
		return err
	}
	var problems []error
	wrong := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		problems = append(problems, &fleet.CallError{Class: fleet.Permanent, UserText: text, Err: errors.New(text)})
	}
	if info.Info.OSType != "linux" {
		wrong("the Docker Engine runs containers of %.40q: want linux", info.Info.OSType)
	}
	if slices.ContainsFunc(p.cfg.Flavors, func(f Flavor) bool { return f.Memory > 0 }) && !info.Info.MemoryLimit {
		wrong("the Docker Engine can't limit memory, and a flavor asks for it")
	}
	if p.cfg.PullPolicy == PullNever {
		there, err := p.hasImage(ctx)
		switch {
		case err != nil:
			problems = append(problems, err)
		case !there:
			wrong("the image %s is not on the Docker Engine, and paas_docker_pull_policy says never", p.cfg.Image)
		}
	}
	return errors.Join(problems...)
}
