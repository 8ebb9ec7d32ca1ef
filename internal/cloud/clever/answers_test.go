// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// answers gives every call the same answer.
type answers struct {
	status            int
	kind, after, body string
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	header := http.Header{"Content-Type": {a.kind}, "Retry-After": {a.after}, "Location": {a.after}}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswers: whatever a platform answers to whatever it is asked, there is an end; only
// what carries our key is seen, and an error tells no credential and, to the user, one short
// line that drives no terminal.
func FuzzAnswers(f *testing.F) {
	const canary, key = "CANARY-cc-token", "hpd-job-abcdefghij-1"
	app := `{"id":"app_1","name":"` + key + `","creationDate":1,"instance":{"maxFlavor":{"name":"heptapod-runner-M"}},"deployment":{"repoState":"CREATED","httpUrl":"https://push.example/app_1.git"},"env":[{"name":"A","value":"B"}]}`
	for _, body := range []string{
		app, "[" + app + "]", `[null,{}]`, `null`, `{`, `[{"state":"OK"}]`, `[{"name":"par","tags":["for:applications"]}]`, `{"expirationDate":"x"}`,
		`{"id":4004,"message":"gone \u001b[31m ` + canary + `","type":"error"}`, "<html>" + canary, `[{"type":"docker","version":"1","variant":{"id":"70d676a0-a775-4dc9-a43d-3121036e8515"}}]`,
		`{"deployment":{"repoState":"DELETED\u001b"}}`, "001e# service=git-upload-pack\n0000",
	} {
		f.Add(200, "application/json", "", body)
		f.Add(404, "application/json", "7", body)
		f.Add(503, "application/x-git-upload-pack-advertisement", "x", body)
	}
	f.Fuzz(func(t *testing.T, status int, kind, after, body string) {
		if status < 200 || status > 599 || retryAfter(after) > 0 {
			return // a wait that is obeyed is for the tests in simulated time
		}
		p, err := New(Config{RepoTimeout: time.Millisecond, RepoWaitStep: time.Millisecond}, Deps{Transport: answers{status, kind, after, body}})
		if err != nil {
			t.Fatal(err)
		}
		tenant := cloud.Tenant{ID: "orga_x", Token: secret.New(canary)}
		ref := cloud.Ref{Key: key, Tenant: tenant, Handle: Handle("app_1", "orga_x")}
		seen, list := p.List(t.Context(), tenant, "abcdefghij")
		for _, s := range seen {
			if !strings.HasPrefix(s.Key, "hpd-job-abcdefghij-") {
				t.Errorf("a sighting of %q", s.Key)
			}
		}
		made, create := p.Create(t.Context(), cloud.Spec{Key: key, Tenant: tenant})
		if create == nil && made.Key != key {
			t.Errorf("%q was made", made.Key)
		}
		_, inspect := p.Inspect(t.Context(), ref)
		_, recovered := p.Recover(t.Context(), ref)
		_, flavors := p.Flavors(t.Context())
		_, _, expiry := p.Expiry(t.Context(), tenant)
		for name, err := range map[string]error{
			"list": list, "create": create, "inspect": inspect, "recover": recovered, "flavors": flavors, "expiry": expiry,
			"start": p.Start(t.Context(), ref, []fleet.File{{Path: "a"}}), "destroy": p.Destroy(t.Context(), ref), "check": p.Check(t.Context(), tenant),
		} {
			if err == nil {
				continue
			}
			text := fleet.UserTextOf(err)
			if strings.Contains(err.Error()+text, canary) && !strings.Contains(body, canary) || len(text) > 3*maxMessage || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %v; the user is told %q", name, err, text)
			}
		}
	})
}
