// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/tlstest"
)

const adminSecret = "glpat-CANARYADMINTOKEN01"

// moreCalls are those that `calls` lacks: with an administrator's token, and by `register`.
var moreCalls = map[string]func(context.Context, *coordinator.Client) error{
	"register": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.Register(ctx, coordinator.Registration{Token: secret.New(registrationSecret)})
		return err
	},
	"unregister": func(ctx context.Context, c *coordinator.Client) error { return c.Unregister(ctx, runnerToken) },
	"forget": func(ctx context.Context, c *coordinator.Client) error {
		return c.ForgetManager(ctx, runnerToken, "r_0123456789ab")
	},
	"groups": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.TopLevelGroups(ctx, secret.New(adminSecret))
		return err
	},
	"attributes": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.GroupAttributes(ctx, "group", secret.New(adminSecret))
		return err
	},
	"granted": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.GrantedJobs(ctx, 7, "r_0123456789ab", secret.New(adminSecret))
		return err
	},
	"granted to": func(ctx context.Context, c *coordinator.Client) error {
		_, _, err := c.GrantedTo(ctx, "group/project", 42, secret.New(adminSecret))
		return err
	},
	"cancel": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.CancelJob(ctx, "group/project", 42, false, secret.New(adminSecret))
		return err
	},
	"size": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.TraceSize(ctx, "group/project", 42, secret.New(adminSecret))
		return err
	},
}

// A coordinator that is not proven to be ours sees no token, and one that is sends none
// elsewhere.
func TestImpostors(t *testing.T) {
	t.Parallel()
	tlstest.Hold(t, tlstest.Client{
		Secrets: []string{runnerSecret, jobSecret, adminSecret, registrationSecret},
		Call: func(t *testing.T, url, folder string) map[string]error {
			file := func(name string) string { return filepath.Join(folder, name) }
			c, err := coordinator.New(coordinator.Config{URL: url, CAFile: file("ca.pem"), CertFile: file("cert.pem"), KeyFile: file("key.pem")})
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]error{}
			all := maps.Clone(calls)
			maps.Copy(all, moreCalls)
			for name, call := range all {
				out[name] = call(t.Context(), c)
			}
			return out
		},
		Untrusted: func(t *testing.T, call string, err error) {
			if verdict(err) != "transient" || !errors.Is(err, fleet.ErrUnreachable) {
				t.Errorf("%s: %s, want transient: nothing was sent: %v", call, verdict(err), err)
			}
		},
		Redirected: func(t *testing.T, call string, err error) {
			if verdict(err) != "permanent" || !strings.Contains(err.Error(), "which is not followed: fix `url`") {
				t.Errorf("%s: %s: %v", call, verdict(err), err)
			}
		},
	})
}
