// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// Verify sends what gitlab-runner sends; what the program can do goes along only with a
// name to keep it under.
func TestVerifyOnTheWire(t *testing.T) {
	t.Parallel()
	var got sent
	c := record(t, &got, 200, map[string]string{"Content-Type": asJSON}, `{"id":7,"token":"`+runnerSecret+`","token_expires_at":"2027-01-01T00:00:00.000Z"}`)
	answer, err := c.Verify(t.Context(), runnerToken, "r_0123456789ab")
	if want := (coordinator.VerifyAnswer{ID: 7, ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil || answer != want {
		t.Errorf("got %+v, %v", answer, err)
	}
	if diff := cmp.Diff(map[string]any{"token": runnerSecret, "system_id": "r_0123456789ab", "info": wireInfo(t)}, got.Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got.Method+" "+got.URI != "POST /api/v4/runners/verify" || got.Header["Runner-Token"] != runnerSecret {
		t.Errorf("got %+v", got)
	}
	if _, err := c.Verify(t.Context(), runnerToken, ""); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]any{"token": runnerSecret}, got.Body); diff != "" {
		t.Errorf("without a name (-want +got):\n%s", diff)
	}
}

// Old coordinators say only that the token is good.
func TestVerifyAnswers(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int64{
		"200": 0, `"200"`: 0, "": 0, "200\n": 0, `{"id":7}`: 7, `{"id":7,"token_expires_at":null}`: 7, `{"id":-7}`: 0, `{}`: 0, `null`: 0,
		`{"id":"7"}`: -1, `[]`: -1, `{"id":7`: -1, `201`: -1, `{"id":7,"token_expires_at":"soon"}`: -1,
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			_, _ = io.WriteString(w, body)
		})
		answer, err := c.Verify(t.Context(), runnerToken, "r_0123456789ab")
		if (err != nil) != (want < 0) || err == nil && answer != (coordinator.VerifyAnswer{ID: want}) {
			t.Errorf("%q: got %+v, %v", body, answer, err)
		}
	}
}

func TestNoTokenNoQuestion(t *testing.T) {
	t.Parallel()
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("something was asked") })
	_, verify := c.Verify(t.Context(), secret.String{}, "r_0123456789ab")
	_, discover := c.Discover(t.Context(), secret.String{})
	_, managers := c.Managers(t.Context(), 7, secret.String{})
	_, unnamed := c.Managers(t.Context(), 0, runnerToken)
	for _, err := range []error{verify, discover, managers, unnamed} {
		if fleet.ClassOf(err) != fleet.Permanent {
			t.Errorf("got %v", err)
		}
	}
}

// What is found out about a runner against the simulator, and what each question leaves
// behind there.
func TestSimVerify(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		admin, unknown := secret.New(gitlab.AdminToken), secret.New("glrtr-unknown")
		known, err := c.Discover(t.Context(), simToken)
		if err != nil || !known {
			t.Errorf("discover: %t, %v", known, err)
		}
		if managers, err := c.Managers(t.Context(), 1, admin); err != nil || len(managers) != 0 {
			t.Errorf("a question left %v, %v", managers, err)
		}
		answer, err := c.Verify(t.Context(), simToken, "r_0123456789ab")
		if err != nil || answer.ID != 1 {
			t.Fatalf("verify: %+v, %v", answer, err)
		}
		managers, err := c.Managers(t.Context(), answer.ID, admin)
		if err != nil || len(managers) != 1 || managers[0].SystemID != "r_0123456789ab" || managers[0].Version != "unknown" || managers[0].ContactedAt.IsZero() {
			t.Errorf("managers: %+v, %v", managers, err)
		}
		if _, err := c.TokenInfo(t.Context(), admin); err != nil {
			t.Errorf("a good token: %v", err)
		}
		_, discover := c.Discover(t.Context(), unknown)
		_, verify := c.Verify(t.Context(), unknown, "")
		_, stranger := c.Managers(t.Context(), answer.ID, simToken)
		_, other := c.TokenInfo(t.Context(), simToken)
		for what, err := range map[string]error{"discover": discover, "verify": verify, "managers": stranger, "token": other} {
			if !errors.Is(err, fleet.ErrUnauthorized) {
				t.Errorf("%s with a token that is not for it: %v", what, err)
			}
		}
	})
}

func TestTokenInfo(t *testing.T) {
	t.Parallel()
	day := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	for body, want := range map[string]coordinator.TokenInfo{
		`{"name":"ci","scopes":["read_api"],"expires_at":"2027-03-01"}`: {Name: "ci", Scopes: []string{"read_api"}, ExpiresAt: day},
		`{"name":"ci","scopes":["api"],"expires_at":null}`:              {Name: "ci", Scopes: []string{"api"}},
		`{"expires_at":"some day"}`:                                     {},
	} {
		var got sent
		c := record(t, &got, 200, map[string]string{"Content-Type": asJSON}, body)
		info, err := c.TokenInfo(t.Context(), runnerToken)
		if err != nil || cmp.Diff(want, info) != "" || got.URI != "/api/v4/personal_access_tokens/self" || got.Header["Private-Token"] != runnerSecret {
			t.Errorf("%s: got %+v, %v by %+v", body, info, err, got)
		}
	}
}

// A coordinator that does not tell about tokens tells by the way in which it refuses.
func TestTokenInfoOfOldCoordinators(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{404: "ok", 401: "permanent unauthorized", 403: "permanent unauthorized", 503: "transient"} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			if r.URL.Path == "/api/v4/job" {
				w.WriteHeader(status)
			} else {
				w.WriteHeader(404)
			}
			_, _ = io.WriteString(w, `{"message":"no"}`)
		})
		_, err := c.TokenInfo(t.Context(), runnerToken)
		if got := verdict(err); got != want {
			t.Errorf("%d: got %s (%v), want %s", status, got, err, want)
		}
	}
}

// Somebody who waits and asks again may get an answer; what is wrong stays wrong.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{401: false, 404: false, 422: false, 408: true, 429: true, 500: true, 502: true} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if _, err := c.Verify(t.Context(), runnerToken, ""); errors.Is(err, fleet.ErrUnreachable) != want {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, c := range []*coordinator.Client{newClient(t, "http://127.0.0.1:1"), serveRaw(t, ""), serveRaw(t, "SSH-2.0\r\n")} {
		if _, err := c.Verify(t.Context(), runnerToken, ""); !errors.Is(err, fleet.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{") })
	if _, err := c.Verify(t.Context(), runnerToken, ""); err == nil || errors.Is(err, fleet.ErrUnreachable) {
		t.Errorf("a broken answer: %v", err)
	}
}
