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
	target, err := p.repository(ctx, ref)
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

// Recover implements cloud.Provisioner: the deployment repository keeps what was
// pushed for as long as the application exists.
func (p *Provisioner) Recover(ctx context.Context, ref cloud.Ref) ([]fleet.File, error) {
	target, err := p.repository(ctx, ref)
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
