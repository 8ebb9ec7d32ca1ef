// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// oauth is a runner that acts as a user by OAuth, in whichever way.
func oauth(more string) func(string) string {
	return swap("  cc_token = \""+clever.FirstToken+"\"\n", "", "#runner\n", "  cc_auth = \"oauth1\"\n  cc_consumer_key = \""+clever.ConsumerKey+"\"\n"+
		"  cc_consumer_secret = \""+clever.ConsumerSecret+"\"\n  cc_oauth_token = \""+clever.OAuthToken+"\"\n  cc_oauth_secret = \""+clever.OAuthSecret+"\"\n"+more)
}

// credentialRows are the keys by which the cloud knows us.
func credentialRows() map[string]keyRow {
	shown := func(s *scene) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.auth) == 0 {
			return "nothing"
		}
		return s.auth[0]
	}
	pushed := func(s *scene) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.pushed) == 0 {
			return "nothing"
		}
		return s.pushed[0]
	}
	param := func(name string) func(*scene) string {
		return func(s *scene) string {
			_, text, found := strings.Cut(shown(s), name+`="`)
			text, _, _ = strings.Cut(text, `"`)
			if plain, err := url.QueryUnescape(text); err == nil && found {
				return plain
			}
			return "no " + name
		}
	}
	started := wait(30 * time.Second)
	git := at("runner", "  cc_git_user = \"pusher\"\n  cc_git_password = \"with-that\"")
	return map[string]keyRow{
		"runners/cc_orga_id": {
			with: swap(`cc_orga_id = "orga_sim"`, `cc_orga_id = "orga_else"`), was: "orga_sim", is: "orga_else",
			prepare: func(s *scene) { s.clever.SetOrganisation("orga_else", clever.FirstToken); one(s) },
			see:     func(s *scene) string { return s.clever.Applications()[0].Organisation },
		},
		"runners/cc_token":           {with: swap(clever.FirstToken, "another"), prepare: one, play: started, see: shown, was: "token " + clever.FirstToken, is: "token another"},
		"runners/cc_auth":            {with: swap("#runner\n", "  cc_auth = \"bearer\"\n", clever.FirstToken, clever.ServiceToken), prepare: one, see: shown, was: "token " + clever.FirstToken, is: "Bearer " + clever.ServiceToken},
		"runners/cc_consumer_key":    {with: oauth(""), prepare: one, play: started, see: param("oauth_consumer_key"), was: "no oauth_consumer_key", is: clever.ConsumerKey},
		"runners/cc_consumer_secret": {with: oauth(""), prepare: one, play: started, see: param("oauth_signature"), was: "no oauth_signature", is: clever.ConsumerSecret + "&" + clever.OAuthSecret},
		"runners/cc_oauth_token":     {with: oauth(""), prepare: one, play: started, see: param("oauth_token"), was: "no oauth_token", is: clever.OAuthToken},
		"runners/cc_oauth_secret":    {with: oauth(""), prepare: one, see: func(s *scene) string { return pushed(s) }, was: "Jenkins:" + clever.FirstToken, is: clever.OAuthToken + ":" + clever.OAuthSecret},
		"runners/cc_oauth_signature": {with: oauth("  cc_oauth_signature = \"hmac-sha512\"\n"), play: started, see: param("oauth_signature_method"), was: "no oauth_signature_method", is: "HMAC-SHA512"},
		"runners/cc_git_user":        {with: git, prepare: one, play: started, see: func(s *scene) string { user, _, _ := strings.Cut(pushed(s), ":"); return user }, was: "Jenkins", is: "pusher"},
		"runners/cc_git_password":    {with: git, prepare: one, play: started, see: func(s *scene) string { _, password, _ := strings.Cut(pushed(s), ":"); return password }, was: clever.FirstToken, is: "with-that"},
		"runners/cc_auth_user":       {with: at("runner", `cc_auth_user = "Hudson"`), prepare: one, see: pushed, was: "Jenkins:" + clever.FirstToken, is: "Hudson:" + clever.FirstToken},
	}
}

// tenants makes a group whose attributes name an organisation.
func tenants(attributes map[string]string) func(*scene) {
	return func(s *scene) {
		s.clever.SetOrganisation("orga_one", "canary-token-one")
		s.control("PUT", gitlabURL+"/_sim/groups/one/attributes", attributes, nil)
		s.queue(job("one/project", nil), "success", "failed")
	}
}

func tenantRows() map[string]keyRow {
	usual := tenants(map[string]string{"cc_orga_id": "orga_one", "cc_orga_token": "canary-token-one"})
	many := func(more string) func(string) string {
		return at("runner", "  cc_multi_tenant = true\n  cc_gitlab_namespace_attributes_token = \""+gitlab.AdminToken+"\"\n"+more)
	}
	paid := func(s *scene) string {
		if apps := s.clever.Applications(); len(apps) > 0 {
			return apps[0].Organisation
		}
		return "nobody pays"
	}
	row := func(attributes map[string]string, more string) keyRow {
		return keyRow{with: many(more), prepare: tenants(attributes), see: paid, was: "orga_sim", is: "orga_one"}
	}
	return map[string]keyRow{
		"runners/cc_multi_tenant": {with: many(""), prepare: usual, see: paid, was: "orga_sim", is: "orga_one"},
		"runners/cc_gitlab_namespace_attributes_token": {
			with: swap("#runner", "  cc_multi_tenant = true\n  cc_gitlab_namespace_attributes_token = \"of-nobody\""), prepare: usual,
			see: trace(0), was: "success",
			is: "Nobody pays for this job's instance: the service may not read the attributes of group one. Ask the owners of the group or the operators of this runner.",
		},
		"runners/cc_orga_id_attribute":    row(map[string]string{"my_org": "orga_one", "cc_orga_token": "canary-token-one"}, "  cc_orga_id_attribute = \"my_org\"\n"),
		"runners/cc_orga_token_attribute": row(map[string]string{"cc_orga_id": "orga_one", "my_token": "canary-token-one"}, "  cc_orga_token_attribute = \"my_token\"\n"),
	}
}

func watchRows() map[string]keyRow {
	watch := func(lines string) func(string) string { return at("env", "  [runners.job_trace_watch]\n    "+lines) }
	return map[string]keyRow{
		"job_trace_watch/token": {
			with: watch(`token = "` + gitlab.AdminToken + `"`), prepare: one, was: "with the job's token", is: "with the operator's token",
			see: func(s *scene) string {
				if slices.ContainsFunc(s.requests(gitlabURL), func(r simRequest) bool {
					return strings.HasPrefix(r.Path, "/api/v4/projects/") && strings.HasSuffix(r.Path, "/trace")
				}) {
					return "with the operator's token"
				}
				return "with the job's token"
			},
		},
		"job_trace_watch/timeout_seconds": {
			with: watch("timeout_seconds = 45"), prepare: neverStarts, see: trace(0),
			was: "The instance was made, but its sub-runner has written nothing after 5m0s. Retry the job; if it fails again, tell the operators of this runner.",
			is:  "The instance was made, but its sub-runner has written nothing after 45s. Retry the job; if it fails again, tell the operators of this runner.",
		},
		"job_trace_watch/poll_step": {
			with: watch("poll_step = 1"), prepare: one, was: "seldom", is: "often",
			see: func(s *scene) string {
				if s.asked(gitlabURL, "PATCH", "/api/v4/jobs/*/trace") > 12 {
					return "often"
				}
				return "seldom"
			},
		},
	}
}
