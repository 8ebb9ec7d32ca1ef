// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// stateDown is an application's state before its first deployment and after its
// task has ended.
const stateDown = "SHOULD_BE_DOWN"

// List implements cloud.Provisioner.
func (p *Provisioner) List(ctx context.Context, tenant cloud.Tenant, owner fleet.Owner) ([]cloud.Sighting, error) {
	apps, err := p.applications(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []cloud.Sighting
	for _, app := range apps {
		if strings.HasPrefix(app.Name, owner.KeyPrefix()) {
			out = append(out, p.sighting(app, tenant.ID, lifeAtSight(app)))
		}
	}
	return out, nil
}

// applications lists everything in the organisation, in one call. An answer that
// might be incomplete is an error: absence must be able to rely on it.
func (p *Provisioner) applications(ctx context.Context, tenant cloud.Tenant) ([]application, error) {
	r := request{
		what: "list applications of " + tenant.ID, method: http.MethodGet,
		path: applicationsPath(tenant.ID), token: tenant.Token, limit: maxList,
	}
	var apps []application
	if err := p.api.call(ctx, r, &apps); err != nil {
		return nil, err
	}
	if apps == nil {
		return nil, r.fail(fleet.Unknown, errors.New("the answer is null, not a list"))
	}
	for _, app := range apps {
		if app.ID == "" || app.Name == "" {
			return nil, r.fail(fleet.Unknown, errors.New("an application without id or name"))
		}
	}
	return apps, nil
}

// lifeAtSight judges by the application alone. When unsure it is alive, which is
// what nobody destroys.
func lifeAtSight(app application) cloud.Life {
	switch {
	case app.State != stateDown && (app.State != "" || app.CommitID != ""):
		return cloud.LifeAlive
	case app.CommitID == "":
		return cloud.LifeCreated
	default:
		return cloud.LifeEnded
	}
}

// Inspect implements cloud.Provisioner.
func (p *Provisioner) Inspect(ctx context.Context, ref cloud.Ref) (cloud.Sighting, error) {
	if len(ref.Handle) == 0 {
		return p.inspectByKey(ctx, ref)
	}
	h, err := parseHandle(ref)
	if err != nil {
		return cloud.Sighting{}, &fleet.CallError{Class: fleet.Unknown, Err: fmt.Errorf("inspect %s: %w", ref.Key, err)}
	}
	app, err := p.read(ctx, h, ref.Tenant)
	if err != nil {
		return cloud.Sighting{}, err
	}
	life, err := p.life(ctx, app, h, ref.Tenant)
	if err != nil {
		return cloud.Sighting{}, err
	}
	return p.sighting(app, h.Org, life), nil
}

// inspectByKey looks for the name. Should there be two, the one that was started
// counts, then the older.
func (p *Provisioner) inspectByKey(ctx context.Context, ref cloud.Ref) (cloud.Sighting, error) {
	apps, err := p.named(ctx, ref)
	if err != nil {
		return cloud.Sighting{}, err
	}
	if len(apps) == 0 {
		return cloud.Sighting{}, &fleet.CallError{
			Class: fleet.Permanent, Err: fmt.Errorf("inspect %s in %s: %w", ref.Key, ref.Tenant.ID, fleet.ErrNotFound),
		}
	}
	var best cloud.Sighting
	for _, app := range apps {
		h := handle{AppID: app.ID, Org: ref.Tenant.ID}
		life, err := p.life(ctx, app, h, ref.Tenant)
		if err != nil {
			return cloud.Sighting{}, err
		}
		s := p.sighting(app, h.Org, life)
		if best.Key == "" || (best.Life == cloud.LifeCreated && life != cloud.LifeCreated) {
			best = s
		}
	}
	return best, nil
}

// named gives the applications with exactly that name, the oldest first.
func (p *Provisioner) named(ctx context.Context, ref cloud.Ref) ([]application, error) {
	apps, err := p.applications(ctx, ref.Tenant)
	if err != nil {
		return nil, err
	}
	apps = slices.DeleteFunc(apps, func(a application) bool { return a.Name != ref.Key })
	slices.SortStableFunc(apps, func(a, b application) int { return a.CreationDate.Compare(b.CreationDate.Time) })
	return apps, nil
}

// read gets one application.
func (p *Provisioner) read(ctx context.Context, h handle, tenant cloud.Tenant) (application, error) {
	r := request{what: "read application " + h.AppID, method: http.MethodGet, path: h.path(), token: tenant.Token}
	var app application
	if err := p.api.call(ctx, r, &app); err != nil {
		return application{}, err
	}
	if app.ID != h.AppID || app.Name == "" {
		return application{}, r.fail(fleet.Unknown, errors.New("the answer is not the application that was asked for"))
	}
	return app, nil
}
