// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"strings"
	"testing"

	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/tlstest"
)

// A platform that is not proven to be the right one sees no credential, and one that is
// sends none elsewhere. Its authority is the system's to know: there is no setting.
func TestImpostors(t *testing.T) {
	t.Parallel()
	tlstest.HoldBySystem(t, tlstest.Client{
		Secrets: []string{canary},
		Call: func(t *testing.T, url, _ string) map[string]error {
			p, err := clever.New(clever.Config{APIURL: url + "/v2"}, clever.Deps{})
			if err != nil {
				t.Fatal(err)
			}
			_, create := p.Create(t.Context(), spec)
			_, list := p.List(t.Context(), tenant, owner)
			_, inspect := p.Inspect(t.Context(), ref)
			_, flavors := p.Flavors(t.Context())
			_, recovered := p.Recover(t.Context(), ref)
			return map[string]error{
				"create": create, "list": list, "inspect": inspect, "flavors": flavors, "recover": recovered,
				"check": p.Check(t.Context(), tenant), "start": p.Start(t.Context(), ref, nil), "destroy": p.Destroy(t.Context(), ref),
			}
		},
		Untrusted: func(t *testing.T, call string, err error) {
			if fleet.ClassOf(err) != fleet.Transient {
				t.Errorf("%s: %v, want transient: nothing was sent: %v", call, fleet.ClassOf(err), err)
			}
		},
		Redirected: func(t *testing.T, call string, err error) {
			if !strings.Contains(err.Error(), "which is not followed: fix `cc_api_url`") {
				t.Errorf("%s: %v", call, err)
			}
		},
	})
}
