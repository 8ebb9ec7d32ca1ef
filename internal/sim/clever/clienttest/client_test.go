// SPDX-License-Identifier: Apache-2.0

package clienttest

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/sim/clever"
)

// script runs one act of the JavaScript client. It gives what the client saw.
func script(t *testing.T, pkgs packages, url, token, act string) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, pkgs.node, "testdata/client.mjs", pkgs.path(), url, token, clever.FirstOrganisation, act)
	cmd.Env, cmd.WaitDelay = plainEnv(t.TempDir()), 5*time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", act, err, stderr.Bytes())
	}
	var seen map[string]any
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%s: %v in %s", act, err, out)
	}
	return seen
}

// The client shows an API token, on the bridge.
func TestJavaScriptClient(t *testing.T) {
	t.Parallel()
	pkgs := fromNPM(t)
	p := begin(t, false, clever.TaskRunning)
	p.SetOrganisation("orga_b", "token-b")
	bridge := p.url + "/bridge"
	expect := func(act string, want map[string]any) {
		t.Helper()
		if diff := cmp.Diff(want, script(t, pkgs, bridge, clever.APIToken, act)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", act, diff)
		}
	}
	pair := func(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }
	made := script(t, pkgs, bridge, clever.APIToken, "create")
	app := p.only(t, "by-client")
	want := map[string]any{
		"id": app.ID, "httpUrl": p.url + "/git/" + app.ID + ".git", "repoState": "CREATED", "flavor": "XS", "lifetime": "TASK",
		"environment": []any{pair("A", "1"), pair("B", "2")}, "all": []any{pair("A", "1"), pair("B", "2")}, "linked": []any{[]any{}, []any{}},
		"listed": []any{"by-client"}, "tags": []any{"ci"}, "zones": 11.0,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	g := newWork(t)
	g.commit(map[string]string{"Dockerfile": dockerfile})
	g.must("push", p.remote(app.ID, clever.OAuthToken, clever.OAuthSecret), "HEAD:master")
	waitFor(t, "the task ends", func() bool { return p.only(t, "by-client").State == "ended" })
	commit := g.must("rev-parse", "HEAD")
	expect("deployed", map[string]any{
		"states": []any{"SUCCEEDED"}, "organisation": 1.0, "one": "SUCCEEDED", "action": "DEPLOY", "instances": []any{"DELETED"}, "instance": true,
		"commit": commit[:len(commit)-1],
	})
	expect("logs", map[string]any{"lines": []any{"Successfully deployed in 0 minutes and 0 seconds", "hello from by-client"}, "reason": "LIMIT_REACHED"})
	expect("end", map[string]any{
		"again": true, "hooks": 1.0, "keys": []any{"CELLAR_ADDON_HOST", "CELLAR_ADDON_KEY_ID", "CELLAR_ADDON_KEY_SECRET"},
		"foreign": "403 2002", "twice": "404 4004", "gone": nil,
	})
	for _, at := range []struct{ url, token string }{{bridge, "wrong"}, {bridge, clever.ServiceToken}, {p.url, clever.APIToken}} {
		if diff := cmp.Diff(map[string]any{"refusal": "401 2001"}, script(t, pkgs, at.url, at.token, "refused")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", at, diff)
		}
	}
	// Service tokens are for the API itself.
	if diff := cmp.Diff(map[string]any{"refusal": "none"}, script(t, pkgs, p.url, clever.ServiceToken, "refused")); diff != "" {
		t.Errorf("a service token (-want +got):\n%s", diff)
	}
}
