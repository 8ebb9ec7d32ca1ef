// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// life asks for the newest deployment as well: the application alone shows a push
// late, and does not tell a task that has not begun from one that has ended.
func (p *Provisioner) life(ctx context.Context, app application, h handle, tenant cloud.Tenant) (cloud.Life, error) {
	newest, err := p.deployments(ctx, h, tenant)
	if err != nil {
		return "", err
	}
	if len(newest) == 0 {
		if app.CommitID == "" {
			return cloud.LifeCreated, nil
		}
		return cloud.LifeAlive, nil // pushed; its deployment is about to show
	}
	switch newest[0].State {
	case "FAIL", "CANCELLED", "FAILED":
		return cloud.LifeEnded, nil
	case "OK", "SUCCEEDED":
		if app.State == stateDown {
			return cloud.LifeEnded, nil
		}
	}
	// WIP and TASK_RUNNING; in v4 QUEUED, WORK_IN_PROGRESS and TASK_IN_PROGRESS.
	// What we do not know is alive too.
	return cloud.LifeAlive, nil
}

// deployments lists the newest deployments, the newest first, by either version of
// the API: the first one is old, the second one not on every host.
func (p *Provisioner) deployments(ctx context.Context, h handle, tenant cloud.Tenant) ([]deployment, error) {
	newest, err := p.deploymentsAt(ctx, h.path()+"/deployments", h, tenant)
	root, ok := p.root()
	if ok && lacksEndpoint(err) {
		return p.deploymentsAt(ctx, root+"/v4/orchestration"+h.path()+"/deployments", h, tenant)
	}
	return newest, err
}

func (p *Provisioner) deploymentsAt(ctx context.Context, path string, h handle, tenant cloud.Tenant) ([]deployment, error) {
	r := request{
		what: "list deployments of " + h.AppID, method: http.MethodGet, path: path,
		query: url.Values{"limit": {"5"}}, token: tenant.Token,
	}
	var newest []deployment
	if err := p.api.call(ctx, r, &newest); err != nil {
		return nil, err
	}
	if newest == nil {
		return nil, r.fail(fleet.Unknown, errors.New("the answer is null, not a list"))
	}
	return newest, nil
}

// root is the API's URL without its version; false when the URL does not end with
// that of v2, so that nothing is known of the rest.
func (p *Provisioner) root() (string, bool) { return strings.CutSuffix(p.cfg.APIURL, "/v2") }

// lacksEndpoint tells a path that the API does not serve from a thing that does not
// exist.
func lacksEndpoint(err error) bool {
	e, ok := errors.AsType[*refusedError](err)
	return ok && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed) && !errors.Is(err, fleet.ErrNotFound)
}
