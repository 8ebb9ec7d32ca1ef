// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// Destroy implements cloud.Provisioner. An application's machine, repository and
// domain go with it. Without a handle, all applications of exactly that name are
// destroyed: a create that was done twice leaves two.
func (p *Provisioner) Destroy(ctx context.Context, ref cloud.Ref) error {
	if len(ref.Handle) != 0 {
		h, err := parseHandle(ref)
		if err != nil {
			return &fleet.CallError{Class: fleet.Unknown, Err: fmt.Errorf("destroy %s: %w", ref.Key, err)}
		}
		return p.destroy(ctx, h, ref)
	}
	apps, err := p.named(ctx, ref)
	if err != nil {
		return err
	}
	var problems []error
	for _, app := range apps {
		problems = append(problems, p.destroy(ctx, handle{AppID: app.ID, Org: ref.Tenant.ID}, ref))
	}
	return errors.Join(problems...)
}

func (p *Provisioner) destroy(ctx context.Context, h handle, ref cloud.Ref) error {
	app, err := p.read(ctx, h, ref.Tenant)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := app.mustBe(ref.Key); err != nil {
		return err
	}
	p.repos.forget(h.AppID)
	err = p.api.call(ctx, request{
		what: "delete application " + h.AppID, method: http.MethodDelete, path: h.path(), token: ref.Tenant.Token,
	}, nil)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil
	}
	return err
}
