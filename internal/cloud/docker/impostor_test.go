// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/tlstest"
)

// An engine that is not proven to be the right one sees no registry's password, and one
// that is sends none elsewhere.
func TestImpostors(t *testing.T) {
	t.Parallel()
	const password = "CANARY-registry"
	auth := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	tlstest.Hold(t, tlstest.Client{
		Secrets: []string{password},
		Before: func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Api-Version", "1.44")
			return strings.HasSuffix(r.URL.Path, "/_ping")
		},
		Call: func(t *testing.T, url, folder string) map[string]error {
			p, err := New(Config{
				Host: strings.Replace(url, "https", "tcp", 1), CertPath: folder, Image: "registry.example/runner:1", PullPolicy: PullAlways,
			}, Deps{Getenv: func(name string) string {
				return map[string]string{"DOCKER_AUTH_CONFIG": `{"auths":{"registry.example":{"auth":"` + auth + `"}}}`}[name]
			}})
			if err != nil {
				t.Fatal(err)
			}
			return everything(t, p)
		},
		Untrusted: func(t *testing.T, call string, err error) {
			if fleet.ClassOf(err) != fleet.Permanent || !errors.Is(err, fleet.ErrUnauthorized) || fleet.UserTextOf(err) != "the Docker Engine's certificate is not trusted" {
				t.Errorf("%s: %v, %q: %v", call, fleet.ClassOf(err), fleet.UserTextOf(err), err)
			}
		},
	})
}
