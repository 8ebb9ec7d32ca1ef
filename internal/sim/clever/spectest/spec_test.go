// SPDX-License-Identifier: Apache-2.0

package spectest_test

import (
	"strings"
	"testing"

	"heptapod-paas-runner/internal/sim/clever/spectest"
)

// What is wrong is found, and nothing else.
func TestCheck(t *testing.T) {
	t.Parallel()
	s, err := spectest.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const deployment = `{"id":1,"uuid":"u","date":1,"state":"OK","action":"DEPLOY","commit":null,"cause":"Git","instances":1,"author":{"id":"u","name":"n"}}`
	deployments := func(old, by string) string { return "[" + strings.Replace(deployment, old, by, 1) + "]" }
	for _, c := range []struct {
		name, method, path string
		status             int
		body, want         string // "" = nothing is wrong
	}{
		{"as described", "GET", "/v2/organisations/o/applications/a/deployments", 200, deployments("", ""), ""},
		{"the same on the bridge", "GET", "/bridge/v2/organisations/o/applications/a/deployments", 200, deployments("", ""), ""},
		{"a state that there is not", "GET", "/v2/organisations/o/applications/a/deployments", 200, deployments("OK", "FINE"), "not one of the allowed values"},
		{"the same on the bridge", "GET", "/bridge/v2/organisations/o/applications/a/deployments", 200, deployments("OK", "FINE"), "not one of the allowed values"},
		{"a text for a number", "GET", "/v2/organisations/o/applications/a/deployments", 200, deployments(`"date":1`, `"date":"1"`), "must be an integer"},
		{"a field that is missing", "GET", "/v2/organisations/o/applications/a/deployments", 200, deployments(`"cause":"Git",`, ""), "[0].cause: missing from DeploymentView"},
		{"one that is missing deep inside", "GET", "/v2/organisations/o/applications/a/deployments", 200, deployments(`,"name":"n"`, ""), "[0].author.name: missing from Author"},
		{"a field that there is not", "GET", "/v2/organisations/o/applications/a/deployments", 200, deployments(`{`, `{"x":1,`), "[0].x: DeploymentView has no such field"},
		{"no list", "GET", "/v2/organisations/o/applications/a/deployments", 200, "{}", "must be an array"},
		{"no JSON", "GET", "/v2/organisations/o/applications/a/deployments", 200, "<html>", "no JSON"},
		{"an error", "GET", "/v2/nowhere", 404, `{"id":404,"message":"m","type":"error"}`, ""},
		{"an error of another kind", "GET", "/v2/nowhere", 404, `{"id":404,"message":"m","type":"problem"}`, "not one of the allowed values"},
		{"a path before one with a parameter", "GET", "/v2/organisations/o/applications/a/vhosts/favourite", 200, `{"fqdn":1}`, "must be a string"},
		{"not described", "GET", "/v2/nowhere", 200, `{"x":1}`, ""},
		{"version 4", "GET", "/v4/products/zones", 200, `{"x":1}`, ""},
	} {
		err := s.Check(c.method, c.path, c.status, []byte(c.body))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
