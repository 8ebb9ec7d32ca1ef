// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
)

// A job runs by every kind of credential that the cloud takes, and nothing of it is seen
// anywhere.
func TestEveryCredential(t *testing.T) {
	t.Parallel()
	user := func(signature string) config.Auth {
		return config.Auth{
			Scheme: config.AuthOAuth1, OAuthSignature: signature,
			ConsumerKey: clever.ConsumerKey, ConsumerSecret: secret.New(clever.ConsumerSecret),
			OAuthToken: secret.New(clever.OAuthToken), OAuthSecret: secret.New(clever.OAuthSecret),
		}
	}
	for name, change := range map[string]func(c *config.Clever){
		"service token": func(c *config.Clever) { c.Auth.Scheme, c.Token = config.AuthBearer, secret.New(clever.ServiceToken) },
		"PLAINTEXT":     func(c *config.Clever) { c.Auth, c.Token = user("plaintext"), secret.String{} },
		"HMAC-SHA512":   func(c *config.Clever) { c.Auth, c.Token = user("hmac-sha512"), secret.String{} },
		"API token": func(c *config.Clever) {
			c.APIURL, c.Token = cleverURL+"/bridge/v2", secret.New(clever.APIToken)
			c.Auth = config.Auth{Scheme: config.AuthBearer, GitUser: clever.OAuthToken, GitPassword: secret.New(clever.OAuthSecret)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				change(&w.cfg.Runners[0].Clever)
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
			}, func(w *world) {
				for _, canary := range []string{clever.ConsumerSecret, clever.OAuthSecret, clever.APIToken, clever.ServiceToken} {
					if strings.Contains(w.log.String(), canary) || strings.Contains(fmt.Sprint(w.clever.Applications()), canary) {
						t.Errorf("I7: %q is in the log or on an instance", canary)
					}
				}
			})
		})
	}
}
