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

const instanceType = "docker"

// wannabe is the body that creates an application.
type wannabe struct {
	Name             string            `json:"name"`
	Description      string            `json:"description"`
	Zone             string            `json:"zone"`
	Deploy           string            `json:"deploy"`
	InstanceType     string            `json:"instanceType"`
	InstanceVersion  string            `json:"instanceVersion"`
	InstanceVariant  string            `json:"instanceVariant"`
	InstanceLifetime string            `json:"instanceLifetime"`
	MinInstances     int               `json:"minInstances"`
	MaxInstances     int               `json:"maxInstances"`
	MinFlavor        string            `json:"minFlavor"`
	MaxFlavor        string            `json:"maxFlavor"`
	Env              map[string]string `json:"env,omitempty"`
}

// Create implements cloud.Provisioner.
func (p *Provisioner) Create(ctx context.Context, spec cloud.Spec) (cloud.Sighting, error) {
	flavor, err := p.flavor(ctx, spec.Flavor)
	if err != nil {
		return cloud.Sighting{}, before(spec.Key, "create", err)
	}
	version, err := p.versions.get(ctx, p.fetchVersion)
	if err != nil {
		return cloud.Sighting{}, before(spec.Key, "create", err)
	}
	app, err := p.post(ctx, spec, flavor, version)
	if hasID(err, http.StatusBadRequest, idNoVersion) {
		// The platform says that nothing was made, and why: versions come and go.
		stale := version
		version, err = p.versions.replace(ctx, p.fetchVersion, func(v string) bool { return v != stale })
		if err != nil {
			return cloud.Sighting{}, before(spec.Key, "create", err)
		}
		app, err = p.post(ctx, spec, flavor, version)
	}
	if err != nil {
		return cloud.Sighting{}, err
	}
	h, made := handle{AppID: app.ID, Org: spec.Tenant.ID}, p.sighting(app, spec.Tenant.ID, cloud.LifeCreated)
	if app, err = p.complete(ctx, app, h, spec); err != nil {
		return made, &fleet.CallError{
			Class: fleet.Unknown, RetryAfter: fleet.RetryAfterOf(err), UserText: fleet.UserTextOf(err),
			Err: fmt.Errorf("create application %s: it exists: %w", spec.Key, err),
		}
	}
	p.repos.remember(app.ID, app.Deployment.HTTPURL)
	return p.sighting(app, spec.Tenant.ID, cloud.LifeCreated), nil
}

// complete gives an application that was just made what it needs to be started.
func (p *Provisioner) complete(ctx context.Context, app application, h handle, spec cloud.Spec) (application, error) {
	if err := p.ensureEnv(ctx, app, h, spec.Tenant); err != nil {
		return app, err
	}
	if app.ready() {
		return app, nil
	}
	return p.awaitRepo(ctx, h, spec.Key, spec.Tenant)
}

// before classifies what failed before anything was asked to be made or started.
func before(key, verb string, err error) error {
	class := fleet.ClassOf(err)
	if class == fleet.Unknown {
		class = fleet.Transient
	}
	return &fleet.CallError{
		Class: class, RetryAfter: fleet.RetryAfterOf(err), UserText: fleet.UserTextOf(err),
		Err: fmt.Errorf("%s application %s: %w", verb, key, err),
	}
}

// post asks for the application, once; and once more, without its environment, when
// the platform says that it made none because of that.
func (p *Provisioner) post(ctx context.Context, spec cloud.Spec, flavor size, version string) (application, error) {
	if p.envApart.Load() {
		return p.postWith(ctx, spec, flavor, version, nil)
	}
	app, err := p.postWith(ctx, spec, flavor, version, p.env())
	if !refusesEnv(err) {
		return app, err
	}
	app, err = p.postWith(ctx, spec, flavor, version, nil)
	if err == nil {
		p.envApart.Store(true) // it was that
	}
	return app, err
}

func (p *Provisioner) postWith(
	ctx context.Context, spec cloud.Spec, flavor size, version string, env map[string]string,
) (application, error) {
	r := request{
		what: "create application " + spec.Key, method: http.MethodPost,
		path: applicationsPath(spec.Tenant.ID), token: spec.Tenant.Token,
		body: wannabe{
			Name: spec.Key, Description: spec.Key, Zone: p.cfg.Zone, Deploy: "git",
			InstanceType: instanceType, InstanceVersion: version, InstanceVariant: p.cfg.VariantUUID,
			InstanceLifetime: "TASK", MinInstances: 1, MaxInstances: 1,
			MinFlavor: flavor.APIName, MaxFlavor: flavor.APIName, Env: env,
		},
	}
	var app application
	if err := p.api.call(ctx, r, &app); err != nil {
		return application{}, err
	}
	if app.ID == "" || app.Name != spec.Key {
		return application{}, r.fail(fleet.Unknown, errors.New("the answer is not the application that was asked for"))
	}
	return app, nil
}
