// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"fmt"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/gitpush"
)

// branch is the only one that Clever Cloud deploys.
const branch = "master"

// Start implements cloud.Provisioner: the files are pushed to the deployment
// repository. That the branch is there already means that it was done before.
func (p *Provisioner) Start(ctx context.Context, ref cloud.Ref, files []fleet.File) error {
	target, err := p.startable(ctx, ref)
	if err != nil {
		return before(ref.Key, "start", err) // nothing was pushed
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.PushTimeout)
	defer cancel()
	if err := gitpush.Push(ctx, target, branch, files, "Job definition"); err != nil {
		return fmt.Errorf("start %s: %w", ref.Key, err)
	}
	return nil
}

// startable gives the deployment repository of an application that has all it needs.
func (p *Provisioner) startable(ctx context.Context, ref cloud.Ref) (gitpush.Target, error) {
	h, err := parseHandle(ref)
	if err != nil {
		return gitpush.Target{}, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	if deploy := p.repos.url(h.AppID); deploy != "" {
		return p.target(deploy, ref.Tenant)
	}
	app, err := p.withRepo(ctx, h, ref)
	if err != nil {
		return gitpush.Target{}, err
	}
	target, err := p.target(app.Deployment.HTTPURL, ref.Tenant)
	if err == nil {
		err = p.ensureEnv(ctx, app, h, ref.Tenant)
	}
	if err == nil {
		p.repos.remember(h.AppID, target.URL)
	}
	return target, err
}

// Recover implements cloud.Provisioner: the deployment repository keeps what was
// pushed for as long as the application exists.
func (p *Provisioner) Recover(ctx context.Context, ref cloud.Ref) ([]fleet.File, error) {
	target, err := p.filled(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("recover files of %s: %w", ref.Key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.PushTimeout)
	defer cancel()
	files, err := gitpush.Fetch(ctx, target, branch)
	if err != nil {
		return nil, fmt.Errorf("recover files of %s: %w", ref.Key, err)
	}
	return files, nil
}

// filled gives the deployment repository to read from. It changes nothing.
func (p *Provisioner) filled(ctx context.Context, ref cloud.Ref) (gitpush.Target, error) {
	h, err := parseHandle(ref)
	if err != nil {
		return gitpush.Target{}, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	deploy := p.repos.url(h.AppID)
	if deploy == "" {
		app, err := p.withRepo(ctx, h, ref)
		if err != nil {
			return gitpush.Target{}, err
		}
		deploy = app.Deployment.HTTPURL
	}
	return p.target(deploy, ref.Tenant)
}
