// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/gitpush"
	"heptapod-paas-runner/internal/secret"
)

const firstLook = 50 * time.Millisecond // at a deployment repository

// repositories remembers the deployment URLs of applications that can be pushed
// to and have their environment, which saves a call at each start. What is not in it
// is asked for.
type repositories struct {
	mu   sync.Mutex
	urls map[string]string // by application id
}

func (r *repositories) remember(app, url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.urls[app] = url
}

func (r *repositories) forget(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.urls, app)
}

func (r *repositories) url(app string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.urls[app]
}

// target is the deployment repository at a URL, with the credential for it.
func (p *Provisioner) target(deploy string, tenant cloud.Tenant) (gitpush.Target, error) {
	if err := p.checkDeployURL(deploy); err != nil {
		return gitpush.Target{}, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	user, password, err := p.gitCredential(tenant)
	if err != nil {
		return gitpush.Target{}, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	return gitpush.Target{URL: deploy, User: user, Password: password, HTTP: p.git, Packs: p.packs}, nil
}

// gitCredential is what the configuration says, else what the authenticator does.
func (p *Provisioner) gitCredential(tenant cloud.Tenant) (string, secret.String, error) {
	if !p.cfg.GitPassword.Empty() {
		return cmp.Or(p.cfg.GitUser, p.cfg.AuthUser), p.cfg.GitPassword, nil
	}
	user, password, err := p.api.auth.Git(tenant.Token)
	if err != nil {
		return "", secret.String{}, fmt.Errorf("credential for the deployment repository: %w", err)
	}
	return cmp.Or(p.cfg.GitUser, user, p.cfg.AuthUser), password, nil
}

// withRepo reads the application and waits until its deployment repository is there.
func (p *Provisioner) withRepo(ctx context.Context, h handle, ref cloud.Ref) (application, error) {
	app, err := p.read(ctx, h, ref.Tenant)
	if err == nil {
		err = app.mustBe(ref.Key)
	}
	if err == nil && !app.ready() {
		app, err = p.awaitRepo(ctx, h, ref.Key, ref.Tenant)
	}
	return app, err
}

// checkDeployURL: the credential goes there, so the way must be encrypted, unless
// that to the API is not either (a simulator). The host is the platform's choice.
func (p *Provisioner) checkDeployURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("the deployment URL is not a URL")
	}
	plain := strings.HasPrefix(p.cfg.APIURL, "http://")
	if u.Scheme != "https" && (u.Scheme != "http" || !plain) {
		return fmt.Errorf("deployment URL with scheme %.20q: want https", u.Scheme)
	}
	if u.Host == "" || u.User != nil || u.RawQuery != "" {
		return errors.New("deployment URL: want a host, and neither user nor query")
	}
	return nil
}

// awaitRepo looks at the application until its deployment repository can be pushed
// to. One bad answer proves nothing; the time limit does.
func (p *Provisioner) awaitRepo(ctx context.Context, h handle, key string, tenant cloud.Tenant) (application, error) {
	waiting, cancel := context.WithTimeout(ctx, p.cfg.RepoTimeout)
	defer cancel()
	last := errors.New("not looked at")
	for pause := min(firstLook, p.cfg.RepoWaitStep); ; pause = min(2*pause, p.cfg.RepoWaitStep) {
		select {
		case <-time.After(max(pause, fleet.RetryAfterOf(last))):
		case <-waiting.Done():
			if ctx.Err() != nil {
				return application{}, fmt.Errorf("wait for the deployment repository: %w", ctx.Err())
			}
			return application{}, &fleet.CallError{
				Class:    fleet.Unknown,
				UserText: fmt.Sprintf("Clever Cloud did not make the deployment repository within %s.", p.cfg.RepoTimeout),
				Err:      fmt.Errorf("wait for the deployment repository: not there after %s: %v", p.cfg.RepoTimeout, last), //nolint:errorlint // told, not matched: it may be nil
			}
		}
		app, err := p.read(waiting, h, tenant)
		if err == nil {
			if err := app.mustBe(key); err != nil {
				return application{}, err
			}
		}
		switch {
		case err != nil:
			last = err
		case app.ready():
			return app, nil
		case app.doomed():
			return application{}, &fleet.CallError{
				Class: fleet.Permanent, Err: fmt.Errorf("wait for the deployment repository: its state is %s", app.Deployment.RepoState),
			}
		default:
			last = fmt.Errorf("repository state %.40q", app.Deployment.RepoState)
		}
	}
}
