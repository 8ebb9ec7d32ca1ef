// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/manager"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
)

const soonText, endedText = "a credential of the cloud ends soon", "a credential of the cloud has ended"

// ends makes the cloud say so of every credential that it is asked about.
func (w *world) ends(at any) {
	body, err := json.Marshal(map[string]any{"token": "canary-token", "expirationDate": at})
	if err != nil {
		w.t.Fatal(err)
	}
	w.fault(cleverURL, map[string]any{"match": "GET /v2/self/tokens/current", "times": 0, "status": 200, "body": string(body)})
}

// said gives the lines of the log with a text.
func (w *world) said(text string) []string {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	var out []string
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}

func (w *world) credentials() []manager.CredentialStatus {
	return w.life.manager.Status().Runners[0].Credentials
}

// alive runs one life of a world for a while.
func alive(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		f(w)
		w.end()
		w.noTokens()
	})
}

// count checks how often something was said, and in which words.
func (w *world) count(when, text string, least, most int, parts ...string) {
	w.t.Helper()
	lines := w.said(text)
	if len(lines) < least || len(lines) > most {
		w.t.Errorf("%s: %q was said %d times, want %d to %d", when, text, len(lines), least, most)
	}
	for _, line := range lines {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				w.t.Errorf("%s: %s is not in %s", when, part, line)
			}
		}
	}
}

// The end of a credential is said at the start and once a day, and as an error when it has
// come.
func TestCredentialEnds(t *testing.T) {
	t.Parallel()
	alive(t, func(w *world) {
		end := time.Now().Add(50 * time.Hour)
		w.ends(end.UnixMilli())
		w.begin("")
		time.Sleep(time.Minute)
		if got := w.credentials(); len(got) != 1 || got[0].Tenant != clever.FirstOrganisation || !got[0].Ends.Equal(end) {
			w.t.Errorf("the picture shows %+v, want the end at %s", got, end)
		}
		w.count("at the start", soonText, 1, 1, "level=WARN", "runner=clever", "tenant=orga_sim", "left=50h")
		time.Sleep(49 * time.Hour)
		w.count("an hour before", endedText, 0, 0)
		time.Sleep(time.Hour + time.Minute) // the service looks on its own clock
		w.count("at the end", endedText, 1, 1, "level=ERROR", "runner=clever", "tenant=orga_sim")
		w.count("at the end", soonText, 3, 4)
		// The platform does not know it any more; it goes on being said.
		w.heal(cleverURL)
		w.fault(cleverURL, map[string]any{"match": "GET /v2/self/tokens/current", "times": 0, "status": 401, "body": `{"id":2001,"message":"no","type":"error"}`})
		time.Sleep(25 * time.Hour)
		w.count("a day later", endedText, 2, 3)
		w.count("a day later", soonText, 3, 4)
	})
}

// Nothing is said of what is far away, and nothing of what nobody knows.
func TestCredentialThatGoesOn(t *testing.T) {
	for name, at := range map[string]any{"far away": time.Now().Add(60 * 365 * 24 * time.Hour).UnixMilli(), "never": nil} {
		t.Run(name, func(t *testing.T) {
			alive(t, func(w *world) {
				w.ends(at)
				w.begin("")
				time.Sleep(time.Hour)
				w.count(name, soonText, 0, 0)
				w.count(name, endedText, 0, 0)
				if got := w.credentials(); (len(got) == 1) != (at != nil) {
					w.t.Errorf("the picture shows %+v", got)
				}
			})
		})
	}
}

// A credential that was replaced is asked about within minutes, and one that can't be asked
// about is asked about again.
func TestCredentialIsReplaced(t *testing.T) {
	alive(t, func(w *world) {
		w.manyTenants()
		w.attributes("zwei", "orga_two", "canary-token-two") // pays for two groups
		w.queue(job("one/project", map[string]any{"virtual_seconds": 3600}), "success")
		w.fault(cleverURL, map[string]any{"match": "GET /v2/self/tokens/current", "times": 2, "status": 503})
		w.ends(time.Now().Add(24 * time.Hour).UnixMilli())
		w.begin("")
		time.Sleep(3 * time.Minute)
		w.count("at the start", soonText, 2, 2) // orga_one and orga_two
		w.heal(cleverURL)
		later := time.Now().Add(90 * 24 * time.Hour).Truncate(time.Millisecond)
		w.ends(later.UnixMilli())
		w.clever.SetOrganisation("orga_one", "canary-token-rotated")
		w.attributes("one", "orga_one", "canary-token-rotated")
		time.Sleep(10 * time.Minute)
		got := w.credentials()
		if len(got) != 2 || got[0].Tenant != "orga_one" || !got[0].Ends.Equal(later) || got[1].Ends.Equal(later) {
			w.t.Errorf("the picture shows %+v, want orga_one's end at %s", got, later)
		}
		w.count("after the change", soonText, 2, 2)
	})
}

// A runner that acts as one user for all tenants has one credential.
func TestOneUserForAllTenants(t *testing.T) {
	alive(t, func(w *world) {
		w.manyTenants()
		w.attributes("one", "orga_one", "")
		w.cfg.Runners[0].Clever.Auth = config.Auth{
			Scheme: config.AuthOAuth1, ConsumerKey: "k", ConsumerSecret: secret.New("s"),
			OAuthToken: secret.New("u"), OAuthSecret: secret.New("canary-token-user"), OAuthSignature: "plaintext",
		}
		w.ends(time.Now().Add(24 * time.Hour).UnixMilli())
		w.begin("")
		time.Sleep(3 * time.Minute)
		w.count("at the start", soonText, 1, 1, "tenant=*")
		if got := w.credentials(); len(got) != 1 || got[0].Tenant != "*" {
			w.t.Errorf("the picture shows %+v", got)
		}
	})
}
