// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"regexp"

	"heptapod-paas-runner/internal/cloud"
)

// variable is one entry of an application's environment as the platform shows it.
type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// env is the environment of every application. CC_RUN_COMMAND is said to be needed
// by tasks and to have no effect on Docker; neither is sure, so it is there and
// does nothing.
func (p *Provisioner) env() map[string]string {
	env := map[string]string{"CC_MOUNT_DOCKER_SOCKET": "true", "CC_RUN_COMMAND": "true"}
	maps.Copy(env, p.cfg.ExtraEnv)
	return env
}

// carries tells whether the application shows all of env.
func (a application) carries(env map[string]string) bool {
	shown := make(map[string]string, len(a.Env))
	for _, v := range a.Env {
		shown[v.Name] = v.Value
	}
	for name, value := range env {
		if got, ok := shown[name]; !ok || got != value {
			return false
		}
	}
	return true
}

// ensureEnv gives the application its environment unless it shows that it has it.
// No application is ever pushed to without: its machine could not run a job. It may
// be missing because the platform refused or ignored it at creation, or because an
// earlier manager ended between the two calls.
func (p *Provisioner) ensureEnv(ctx context.Context, app application, h handle, tenant cloud.Tenant) error {
	env := p.env()
	if app.carries(env) {
		return nil
	}
	return p.api.call(ctx, request{
		what: "set the environment of application " + h.AppID, method: http.MethodPut,
		path: h.path() + "/env", token: tenant.Token, body: env,
	}, nil)
}

// aboutEnv finds a word for the environment in a message.
var aboutEnv = regexp.MustCompile(`(?i)\benv(ironment)?s?\b`)

// refusesEnv tells whether err is the platform's refusal of the environment in the
// body of a creation: nothing was made. A variable that it does not like is not that.
func refusesEnv(err error) bool {
	e, ok := errors.AsType[*refusedError](err)
	return ok && e.Message != "" && e.Status == http.StatusBadRequest && e.ID != idBadVariable &&
		(aboutEnv.MatchString(e.Message) || e.Fields["env"])
}
