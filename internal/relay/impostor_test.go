// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net/http"
	"testing"

	"heptapod-paas-runner/internal/tlstest"
)

// A coordinator that is not proven to be the job's sees no token, and one that is has the
// relay send none elsewhere. A redirect is handed on: artifacts are fetched by the
// sub-runner where it is told to.
func TestImpostors(t *testing.T) {
	t.Parallel()
	const token = "glcbt-64_CANARYJOBTOKEN1"
	tlstest.Hold(t, tlstest.Client{
		Secrets: []string{token}, HandsOn: true,
		Call: func(t *testing.T, url, folder string) map[string]error {
			transport, err := newTransport(&settings{dir: folder, CAFile: "ca.pem", ClientCertFile: "cert.pem", ClientKeyFile: "key.pem"})
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			c := &coordinator{base: url, job: 42, token: token, agent: "test", transport: transport, health: &health{}}
			_, probe := c.probeTrace(t.Context())
			_, _, status := c.status(t.Context())
			_, update := c.call(t.Context(), http.MethodPut, c.jobPath(), "", nil, []byte(`{"token":"`+token+`"}`))
			return map[string]error{"probe": probe, "status": status, "update": update}
		},
	})
}
