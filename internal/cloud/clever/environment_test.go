// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/fleet"
)

const (
	envRefused = `{"id":400,"message":"Unknown field env","type":"error"}`
	putEnv     = "PUT " + apps + "/app_1/env"
	git        = "GET /app_1.git/info/refs"
)

// bare is an application without environment, as the platform shows one.
var bare = created[:strings.Index(created, `"env":[`)] + `"env":[]}`

// calledInOrder checks that calls were made in this order, others between them or not.
func calledInOrder(t *testing.T, what string, p *platform, want ...string) {
	t.Helper()
	at := 0
	for _, call := range p.calls {
		if at < len(want) && call == want[at] {
			at++
		}
	}
	if at < len(want) {
		t.Errorf("%s: %s did not come, or not in its turn: %q", what, want[at], p.calls)
	}
}

// wholeEnv checks the last environment that was set.
func wholeEnv(t *testing.T, what string, p *platform) {
	t.Helper()
	var got map[string]string
	if err := json.Unmarshal([]byte(p.bodies[putEnv]), &got); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	want := map[string]string{"CC_MOUNT_DOCKER_SOCKET": "true", "CC_RUN_COMMAND": "true", "CC_X": "y"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: environment (-want +got):\n%s", what, diff)
	}
}

var withEnv = clever.Config{ExtraEnv: map[string]string{"CC_X": "y"}}

// A platform that refuses the environment at creation is asked without, and not asked so
// again; the environment is set by a call of its own.
func TestEnvironmentIsRefusedAtCreation(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]string{
		"by its name":    envRefused,
		"in words":       `{"id":400,"message":"The environment can't be set here","type":"error"}`,
		"by its field":   `{"id":400,"message":"Invalid body","type":"error","fields":{"env":"unexpected"}}`,
		"in v4's shape":  `{"code":"bad","error":"unexpected property env"}`,
		"in upper case":  `{"id":400,"message":"ENV is not allowed","type":"error"}`,
		"in plural form": `{"id":400,"message":"no environments, please","type":"error"}`,
	} {
		p := script(map[string][]reply{"POST " + apps: {{status: 400, body: refusal}, {body: bare}}})
		prov := on(t, p, withEnv)
		if _, err := prov.Create(t.Context(), spec); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.count("POST "+apps) != 2 || strings.Contains(p.bodies["POST "+apps], "CC_") {
			t.Errorf("%s: %d creates, the last with %s", name, p.count("POST "+apps), p.bodies["POST "+apps])
		}
		wholeEnv(t, name, p)
		if _, err := prov.Create(t.Context(), spec); err != nil || p.count("POST "+apps) != 3 || p.count(putEnv) != 2 {
			t.Errorf("%s: the second: %v after %q", name, err, p.calls)
		}
	}
}

// What only looks like it is told as it is, and does not change what is asked next.
func TestOtherRefusalsAreNotAboutTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		creates int
	}{
		"a variable it does not like": {`{"id":557,"message":"Invalid environment variables","type":"error","fields":{"CC_X":"bad"}}`, 1},
		"a longer word":               {`{"id":400,"message":"envelope is missing","type":"error"}`, 1},
		"no money":                    {`{"id":4002,"message":"No credit","type":"error"}`, 1},
		"with and without":            {envRefused, 2},
	} {
		p := script(map[string][]reply{"POST " + apps: {{status: 400, body: c.body}}})
		prov := on(t, p, withEnv)
		_, err := prov.Create(t.Context(), spec)
		classed(t, name, err, fleet.Permanent)
		if n := p.count("POST " + apps); n != c.creates {
			t.Errorf("%s: %d creates, want %d", name, n, c.creates)
		}
		_, err = prov.Create(t.Context(), spec)
		classed(t, name, err, fleet.Permanent)
		if n := p.count("POST " + apps); n != 2*c.creates {
			t.Errorf("%s: %d creates, want %d: the first left something behind", name, n, 2*c.creates)
		}
		if p.count(putEnv) != 0 {
			t.Errorf("%s: set the environment of nothing", name)
		}
	}
}

// A platform that says nothing and ignores the environment is found out by what it shows.
func TestEnvironmentIsIgnoredAtCreation(t *testing.T) {
	t.Parallel()
	without := created[:strings.Index(created, `,
		"env":[`)] + "}"
	other := strings.Replace(created, `"value":"true"},{`, `"value":"false"},{`, 1)
	for name, shown := range map[string]string{"empty": bare, "not shown": without, "another value": other, "one is missing": created} {
		p := script(map[string][]reply{"POST " + apps: {{body: shown}}})
		if _, err := on(t, p, withEnv).Create(t.Context(), spec); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.count(putEnv) != 1 {
			t.Errorf("%s: the environment was set %d times", name, p.count(putEnv))
		}
		wholeEnv(t, name, p)
	}
	p := script(nil)
	if _, err := on(t, p, clever.Config{}).Create(t.Context(), spec); err != nil || p.count(putEnv) != 0 {
		t.Errorf("shown as asked for: %v, %q", err, p.calls)
	}
}

// The application exists, without what it needs: the manager looks for it, and Start tries
// again.
func TestEnvironmentThatCanNotBeSet(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]reply{
		"refused": {status: 400, body: envRefused}, "busy": {status: 503}, "hidden": {status: 404, body: noSuchApp}, "forbidden": {status: 403, body: refused},
	} {
		p := script(map[string][]reply{"POST " + apps: {{body: bare}}, "GET " + apps + "/app_1": {{body: bare}}, putEnv: {answer}})
		prov := on(t, p, withEnv)
		_, err := prov.Create(t.Context(), spec)
		classed(t, name+": create", err, fleet.Unknown)
		if err := prov.Start(t.Context(), ref, []fleet.File{{Path: "a"}}); err == nil || fleet.ClassOf(err) == fleet.Unknown {
			t.Errorf("%s: start: %v of class %s: nothing was pushed", name, err, fleet.ClassOf(err))
		}
		if p.count(git) != 0 {
			t.Errorf("%s: pushed to an application without its environment", name)
		}
	}
}

// A manager that ended between creation and environment has left an application that must
// not be pushed to as it is.
func TestStartSetsWhatACrashLeftOut(t *testing.T) {
	t.Parallel()
	p := script(map[string][]reply{"GET " + apps + "/app_1": {{body: bare}}, git: {{status: 401}}})
	prov := on(t, p, withEnv)
	if err := prov.Start(t.Context(), ref, []fleet.File{{Path: "a"}}); err == nil {
		t.Error("git took a refused credential")
	}
	calledInOrder(t, "bare", p, "GET "+apps+"/app_1", putEnv, git)
	wholeEnv(t, "bare", p)
	if err := prov.Start(t.Context(), ref, []fleet.File{{Path: "a"}}); err == nil || p.count(putEnv) != 1 {
		t.Errorf("set again: %v, %q", err, p.calls)
	}

	p = script(map[string][]reply{git: {{status: 401}}}) // this one is whole
	if err := on(t, p, clever.Config{}).Start(t.Context(), ref, []fleet.File{{Path: "a"}}); err == nil || p.count(putEnv) != 0 {
		t.Errorf("whole: %v, %q", err, p.calls)
	}

	p = script(map[string][]reply{"GET " + apps + "/app_1": {{body: bare}}, git: {{status: 401}}})
	if _, err := on(t, p, clever.Config{}).Recover(t.Context(), ref); err == nil || p.count(putEnv) != 0 {
		t.Errorf("reading the files back changes something: %v, %q", err, p.calls)
	}
}

// The newer version of the API tells of deployments in its own words, where the older one
// is gone.
func TestLifeByTheNewerVersion(t *testing.T) {
	t.Parallel()
	const v2, v4 = "GET " + apps + "/app_1/deployments", "GET /v4/orchestration/organisations/orga_1/applications/app_1/deployments"
	pushed := strings.Replace(created, `"commitId":null`, `"commitId":"abc"`, 1)
	up := strings.Replace(pushed, "SHOULD_BE_DOWN", "SHOULD_BE_UP", 1)
	for _, c := range []struct{ app, state, want string }{
		{created, "", "created"}, {pushed, "", "alive"}, {created, "QUEUED", "alive"}, {pushed, "WORK_IN_PROGRESS", "alive"},
		{pushed, "TASK_IN_PROGRESS", "alive"}, {up, "SUCCEEDED", "alive"}, {pushed, "SUCCEEDED", "ended"}, {up, "FAILED", "ended"},
		{up, "CANCELLED", "ended"}, {pushed, "NEW_WORD", "alive"},
	} {
		list := "[]"
		if c.state != "" {
			list = `[{"id":"deployment_1","state":"` + c.state + `","steps":[]}]`
		}
		for _, gone := range []reply{{status: 404, body: noRoute}, {status: 405}, {status: 404, body: "<html>"}} {
			p := script(map[string][]reply{"GET " + apps + "/app_1": {{body: c.app}}, v2: {gone}, v4: {{body: list}}})
			seen, err := on(t, p, clever.Config{}).Inspect(t.Context(), ref)
			if err != nil || string(seen.Life) != c.want {
				t.Errorf("%+v: %s, %v", c, seen.Life, err)
			}
		}
	}
}

// Deployments that can't be seen prove nothing about a task, least of all its end.
func TestLifeWithoutDeployments(t *testing.T) {
	t.Parallel()
	pushed := strings.Replace(created, `"commitId":null`, `"commitId":"abc"`, 1)
	for name, answer := range map[string]reply{
		"no route": {status: 404, body: noRoute}, "a proxy": {status: 404, body: "<html>"}, "null": {body: "null"},
		"busy": {status: 503}, "an object": {body: "{}"}, "forbidden": {status: 403, body: refused},
	} {
		p := script(map[string][]reply{
			"GET " + apps + "/app_1":             {{body: pushed}},
			"GET " + apps + "/app_1/deployments": {answer},
			"GET /v4/orchestration/organisations/orga_1/applications/app_1/deployments": {answer},
		})
		seen, err := on(t, p, clever.Config{}).Inspect(t.Context(), ref)
		if err == nil {
			t.Errorf("%s: it is %s", name, seen.Life)
		}
		if strings.HasPrefix(name, "busy") && slices.Contains(p.calls, "GET /v4/orchestration/organisations/orga_1/applications/app_1/deployments") {
			t.Errorf("%s: asked elsewhere", name)
		}
	}
}
