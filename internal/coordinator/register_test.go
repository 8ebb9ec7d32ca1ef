// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/gitlab"
)

const registrationSecret = "GR1348941CANARYREGISTRATION"

func yes(b bool) *bool { return &b }

// The body is that of a stock gitlab-runner 17.9.0 `register`, but for info.
func TestRegisterOnTheWire(t *testing.T) {
	t.Parallel()
	var got sent
	c := record(t, &got, 201, map[string]string{"Content-Type": "application/json"},
		`{"id":7,"token":"LABLEGACYAUTHTOKEN0001","token_expires_at":"2027-01-01T00:00:00.000Z"}`)
	made, err := c.Register(t.Context(), coordinator.Registration{
		Token: secret.New(registrationSecret), Description: "lab", MaintenanceNote: "lab note", Tags: []string{"a", "b"},
		RunUntagged: yes(true), Locked: yes(true), MaximumTimeout: 3600,
	})
	want := coordinator.Registered{ID: 7, Token: secret.New("LABLEGACYAUTHTOKEN0001"), ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err != nil || made != want {
		t.Errorf("got %+v, %v", made, err)
	}
	wantSent := sent{
		Method: "POST", URI: "/api/v4/runners",
		Header: map[string]string{"Accept": "application/json", "Content-Type": "application/json", "User-Agent": userAgent, "Runner-Token": registrationSecret},
		Body: map[string]any{
			"token": registrationSecret, "description": "lab", "maintenance_note": "lab note", "tag_list": "a,b",
			"run_untagged": true, "locked": true, "maximum_timeout": 3600.0, "paused": false, "info": wireInfo(t),
		},
	}
	if diff := cmp.Diff(wantSent, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnregisterOnTheWire(t *testing.T) {
	t.Parallel()
	var got sent
	c := record(t, &got, 204, nil, "")
	if err := c.Unregister(t.Context(), runnerToken); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]any{"DELETE", "/api/v4/runners", map[string]any{"token": runnerSecret}}, []any{got.Method, got.URI, got.Body}); diff != "" {
		t.Error(diff)
	}
	if err := c.ForgetManager(t.Context(), runnerToken, "r_1"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]any{"DELETE", "/api/v4/runners/managers", map[string]any{"token": runnerSecret, "system_id": "r_1"}}, []any{got.Method, got.URI, got.Body}); diff != "" {
		t.Error(diff)
	}
}

// What is made of each answer. A 5xx may come after the runner was made; a deletion can
// be repeated.
func TestRegisterAnswers(t *testing.T) {
	t.Parallel()
	const json, html = "application/json", "text/html"
	for _, c := range []struct {
		name               string
		status             int
		kind, body         string
		register, unmanage string
		says               string
	}{
		{"refused", 403, json, `{"message":"403 Forbidden - invalid token supplied"}`, "permanent unauthorized", "permanent unauthorized", "invalid token supplied"},
		{"switched off", 410, json, `{"message":"410 Gone - runner registration disallowed"}`, "permanent", "permanent", "runner registration disallowed"},
		{"orphaned", 422, json, `{"message":"Runner is orphaned"}`, "permanent", "permanent", "Runner is orphaned"},
		{"invalid", 400, json, `{"message":{"maximum_timeout":["needs to be at least 10 minutes"]}}`, "permanent", "permanent", "needs to be at least 10 minutes"},
		{"absent", 404, json, `{"error":"404 Not Found"}`, "permanent absent", "permanent absent", "404"},
		{"a login page", 200, html, "<html>", "unknown", "transient", "an HTML page"},
		{"an error page", 502, html, "<html>" + registrationSecret, "unknown", "transient", "an HTML page"},
		{"too many", 429, json, `{"message":"Retry later"}`, "transient", "transient", "Retry later"},
		{"no token", 201, json, `{"id":7}`, "unknown", "transient", "without the runner's token"},
		{"no JSON", 201, json, `{"id":7,"token":"CANARY`, "unknown", "transient", "not the JSON of a runner"},
		{"of another type", 201, json, `{"id":"7","token":"CANARY"}`, "unknown", "transient", "not the JSON of a runner"},
	} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		_, err := client.Register(t.Context(), coordinator.Registration{Token: secret.New(registrationSecret)})
		if verdict(err) != c.register || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: register: %s (%v), want %s and %q", c.name, verdict(err), err, c.register, c.says)
		}
		clean(t, c.name, err)
		err = client.Unregister(t.Context(), runnerToken)
		if c.status >= 300 && verdict(err) != c.unmanage || err == nil {
			t.Errorf("%s: unregister: %s (%v), want %s", c.name, verdict(err), err, c.unmanage)
		}
		clean(t, c.name, err)
	}
}

func TestRegisterNeedsATokenOnly(t *testing.T) {
	t.Parallel()
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a call was made") })
	_, err := c.Register(t.Context(), coordinator.Registration{})
	for _, err := range []error{err, c.Unregister(t.Context(), secret.String{}), c.ForgetManager(t.Context(), runnerToken, ""), c.ForgetManager(t.Context(), secret.String{}, "r")} {
		if verdict(err) != "permanent" {
			t.Errorf("got %v", err)
		}
	}
}

// A runner's whole life at the simulator, an independent reading of the protocol.
func TestSimARunnersLife(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		ctx := t.Context()
		if _, err := c.Register(ctx, coordinator.Registration{Token: secret.New("wrong")}); !errors.Is(err, fleet.ErrUnauthorized) {
			t.Errorf("a wrong token: %v", err)
		}
		made, err := c.Register(ctx, coordinator.Registration{Token: secret.New(gitlab.RegistrationToken), Description: "x", Tags: []string{"a"}, RunUntagged: yes(true)})
		if err != nil || made.Token.Empty() || made.ID == 0 || !made.ExpiresAt.IsZero() {
			t.Fatalf("%+v, %v", made, err)
		}
		answer, err := c.Verify(ctx, made.Token, "r_1")
		if err != nil || answer.ID != made.ID {
			t.Errorf("verify: %+v, %v", answer, err)
		}
		if err := c.ForgetManager(ctx, made.Token, "r_1"); err != nil {
			t.Error(err)
		}
		if err := c.ForgetManager(ctx, made.Token, "r_1"); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("forgotten twice: %v", err)
		}
		if err := c.Unregister(ctx, made.Token); err != nil {
			t.Error(err)
		}
		if err := c.Unregister(ctx, made.Token); !errors.Is(err, fleet.ErrUnauthorized) {
			t.Errorf("deleted twice: %v", err)
		}
		if _, err := c.Register(ctx, coordinator.Registration{Token: secret.New(gitlab.RegistrationToken), Tags: nil, RunUntagged: yes(false)}); verdict(err) != "permanent" || !strings.Contains(err.Error(), "can not be empty when runner is not allowed to pick untagged jobs") {
			t.Errorf("a runner that takes nothing: %v", err)
		}
	})
}
