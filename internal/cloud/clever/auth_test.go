// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// The secrets of the schemes. All hold the word canary.
var (
	ownUser = clever.Config{
		Auth: "oauth1", ConsumerKey: "ckey", ConsumerSecret: secret.New("consumer canary&1"),
		OAuthToken: secret.New("utoken-canary"), OAuthSecret: secret.New("user%canary"),
	}
	tenantsUser = clever.Config{Auth: "oauth1", ConsumerKey: "ckey", ConsumerSecret: secret.New("consumer canary&1")}
	pair        = cloud.Tenant{ID: "orga_1", Token: secret.New("ttoken-canary:tsecret-canary")}
)

func signed(cfg clever.Config) clever.Config {
	cfg.OAuthSignature = "hmac-sha512"
	return cfg
}

// Each scheme puts its credential on the calls of the API and on those of git.
func TestSchemes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg       clever.Config
		tenant    cloud.Tenant
		api       string // the Authorization header begins so
		user, pwd string // of git
	}{
		"default":         {clever.Config{}, tenant, "token " + canary, "Jenkins", canary},
		"token":           {clever.Config{Auth: "token", AuthUser: "robot"}, tenant, "token " + canary, "robot", canary},
		"bearer":          {clever.Config{Auth: "bearer"}, tenant, "Bearer " + canary, "Jenkins", canary},
		"bearer, git":     {clever.Config{Auth: "bearer", GitUser: "g", GitPassword: secret.New("git-canary")}, tenant, "Bearer " + canary, "g", "git-canary"},
		"oauth1":          {ownUser, cloud.Tenant{ID: "orga_1"}, `OAuth oauth_consumer_key="ckey", oauth_token="utoken-canary", oauth_signature="consumer%2520canary%25261%26user%2525canary"`, "utoken-canary", "user%canary"},
		"oauth1, signed":  {signed(ownUser), tenant, `OAuth oauth_consumer_key="ckey", oauth_token="utoken-canary", oauth_nonce="`, "utoken-canary", "user%canary"},
		"oauth1, tenants": {tenantsUser, pair, `OAuth oauth_consumer_key="ckey", oauth_token="ttoken-canary", oauth_signature="consumer%2520canary%25261%26tsecret-canary"`, "ttoken-canary", "tsecret-canary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := script(map[string][]reply{"GET /app_1.git/info/refs": {{status: 401}}})
			prov := on(t, p, c.cfg)
			if _, err := prov.List(t.Context(), c.tenant, owner); err != nil {
				t.Fatal(err)
			}
			if got := p.auth["GET "+apps]; !strings.HasPrefix(got, c.api) {
				t.Errorf("the API is shown %s, want %s", got, c.api)
			}
			push := ref
			push.Tenant = c.tenant
			if err := prov.Start(t.Context(), push, []fleet.File{{Path: "a"}}); err == nil {
				t.Error("git took a refused credential")
			}
			basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.user+":"+c.pwd))
			if got := p.auth["GET /app_1.git/info/refs"]; got != basic {
				t.Errorf("git is shown %s, want %s", got, basic)
			}
			if p.auth["GET /v2/products/instances"] != "" {
				t.Error("the catalogue is shown a credential")
			}
		})
	}
}

// The bridge is for API tokens, which git refuses: without another credential for git
// nothing could ever start.
func TestConfigurationOfSchemes(t *testing.T) {
	t.Parallel()
	const bridge = "https://api-bridge.clever-cloud.com/v2"
	half, strange, noConsumer := ownUser, ownUser, ownUser
	half.OAuthSecret = secret.String{}
	strange.OAuthSignature = "HMAC-SHA1"
	noConsumer.ConsumerSecret = secret.String{}
	for want, cfg := range map[string]clever.Config{
		"cc_auth": {Auth: "basic"},
		"cc_git_password: missing; API tokens cannot push to deployment repositories": {Auth: "bearer", APIURL: bridge},
		"cc_oauth_token, cc_oauth_secret: want both or neither":                       half,
		"cc_consumer_key, cc_consumer_secret":                                         noConsumer,
		"cc_oauth_signature":                                                          strange,
	} {
		_, err := clever.New(cfg, clever.Deps{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := clever.New(clever.Config{Auth: "bearer", APIURL: bridge, GitPassword: secret.New("x")}, clever.Deps{}); err != nil {
		t.Error(err)
	}
}

// A credential that can't be one is never sent, and what it is for was not done.
func TestCredentialsThatCanNotBeSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg   clever.Config
		token string
	}{
		"none":               {clever.Config{}, ""},
		"a line break":       {clever.Config{}, canary + "\n"},
		"a blank":            {clever.Config{Auth: "bearer"}, canary + " x"},
		"not ASCII":          {clever.Config{}, canary + "ä"},
		"no pair":            {tenantsUser, canary},
		"no pair at all":     {tenantsUser, ""},
		"half a pair":        {tenantsUser, canary + ":"},
		"the other half":     {tenantsUser, ":" + canary},
		"pair with a return": {tenantsUser, canary + ":" + canary + "\r"},
	} {
		p := script(map[string][]reply{"GET /v2/products/zones": {{body: zones}}})
		prov := on(t, p, c.cfg)
		odd := cloud.Tenant{ID: "orga_1", Token: secret.New(c.token)}
		push := cloud.Ref{Key: ref.Key, Tenant: odd, Handle: ref.Handle}
		_, create := prov.Create(t.Context(), cloud.Spec{Key: spec.Key, Tenant: odd, Flavor: "M"})
		_, list := prov.List(t.Context(), odd, owner)
		_, recovered := prov.Recover(t.Context(), push)
		for what, err := range map[string]error{
			"create": create, "list": list, "recover": recovered, "start": prov.Start(t.Context(), push, nil), "destroy": prov.Destroy(t.Context(), push),
			"check": prov.Check(t.Context(), odd),
		} {
			classed(t, name+": "+what, err, fleet.Permanent)
			if !errors.Is(err, fleet.ErrUnauthorized) {
				t.Errorf("%s: %s: %v is not about the credential", name, what, err)
			}
		}
		if text := fleet.UserTextOf(create); text != "the credential of the organisation can't be used" {
			t.Errorf("%s: the user reads %q", name, text)
		}
		for _, call := range p.calls {
			if !strings.HasPrefix(call, "GET /v2/products/") && call != "GET /v4/billing/price-system" {
				t.Errorf("%s: called %s", name, call)
			}
		}
	}
}

// No secret of any scheme is in an error, not even when the platform repeats all it got: in
// whole, in parts, decoded, or where its words are cut.
func TestNoSchemeShowsItsSecrets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg    clever.Config
		tenant cloud.Tenant
		parts  string
	}{
		"token":           {clever.Config{}, tenant, canary},
		"bearer":          {clever.Config{Auth: "bearer"}, tenant, "<b>" + canary + "</b>" + strings.Repeat("x", 270) + canary},
		"oauth1":          {ownUser, cloud.Tenant{ID: "orga_1"}, "consumer canary&1 consumer%20canary%261 user%canary user%25canary utoken-canary"},
		"oauth1, tenants": {tenantsUser, pair, "consumer canary&1 tsecret-canary ttoken-canary ttoken-canary:tsecret-canary"},
		"oauth1, signed":  {signed(ownUser), tenant, "utoken-canary"},
	} {
		for _, status := range []int{400, 401, 403, 404, 500, 502} {
			p := &parrot{status: status, more: c.parts}
			prov := on(t, p, c.cfg)
			asked := cloud.Ref{Key: spec.Key, Tenant: c.tenant, Handle: ref.Handle}
			_, list := prov.List(t.Context(), c.tenant, owner)
			_, inspect := prov.Inspect(t.Context(), asked)
			_, _, expiry := prov.Expiry(t.Context(), c.tenant)
			_, flavors := prov.Flavors(t.Context())
			for what, err := range map[string]error{
				"list": list, "inspect": inspect, "expiry": expiry, "destroy": prov.Destroy(t.Context(), asked),
				"check": prov.Check(t.Context(), c.tenant), "start": prov.Start(t.Context(), asked, nil), "flavors": flavors,
			} {
				if err == nil && what != "expiry" && (what != "destroy" || status != 404) {
					t.Errorf("%s: %s took a %d", name, what, status)
				}
				if err == nil {
					continue
				}
				if text := err.Error() + fleet.UserTextOf(err); strings.Contains(strings.ToLower(text), "canary") {
					t.Errorf("%s, %d: %s shows a secret: %s", name, status, what, text)
				}
			}
		}
	}
}

// parrot refuses everything and repeats what it got.
type parrot struct {
	status int
	more   string
}

// RoundTrip implements http.RoundTripper.
func (p *parrot) RoundTrip(r *http.Request) (*http.Response, error) {
	quoted := ""
	if header := r.Header.Get("Authorization"); header != "" {
		quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(header + " " + p.more + " " + header)
	}
	answer := script(map[string][]reply{r.Method + " " + r.URL.EscapedPath(): {{
		status: p.status, body: `{"id":4004,"message":"` + quoted + `","type":"error"}`,
	}}})
	return answer.RoundTrip(r)
}
