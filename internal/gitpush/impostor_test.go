// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/tlstest"
)

// A repository that is not proven to be the right one sees no password and no file, and
// one that is sends neither elsewhere.
func TestImpostors(t *testing.T) {
	t.Parallel()
	tlstest.Hold(t, tlstest.Client{
		Secrets: []string{testUser + ":" + testPassword},
		Call: func(t *testing.T, url, folder string) map[string]error {
			ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(ca)
			transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}}
			defer transport.CloseIdleConnections()
			target := Target{URL: url + "/app.git", User: testUser, Password: secret.New(testPassword), HTTP: &http.Client{Transport: transport}}
			_, _, head := Head(t.Context(), target, "master")
			_, fetch := Fetch(t.Context(), target, "master")
			return map[string]error{"push": Push(t.Context(), target, "master", testFiles(), "m"), "head": head, "fetch": fetch}
		},
		Untrusted: func(t *testing.T, call string, err error) {
			if fleet.ClassOf(err) != fleet.Transient {
				t.Errorf("%s: %v, want transient: nothing was sent: %v", call, fleet.ClassOf(err), err)
			}
		},
		Redirected: func(t *testing.T, call string, err error) {
			if fleet.ClassOf(err) != fleet.Permanent || !strings.Contains(err.Error(), "redirects are not followed") {
				t.Errorf("%s: %v: %v", call, fleet.ClassOf(err), err)
			}
		},
	})
}
