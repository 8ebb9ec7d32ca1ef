// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/url"
	"strings"

	"heptapod-paas-runner/internal/secret"
)

// bridgeHost serves Clever Cloud's API to the holders of API tokens, and to nobody else.
const bridgeHost = "api-bridge.clever-cloud.com"

// auth reads how Clever Cloud is shown a credential, and refuses what contradicts itself:
// a credential that is not used is one that somebody thinks is.
func (f *file) auth(r *reader, api string) Auth {
	before := len(f.problems)
	a := Auth{
		Scheme:         r.choice("cc_auth"),
		OAuthSignature: r.choice("cc_oauth_signature"),
		ConsumerKey:    r.filledText("cc_consumer_key"), ConsumerSecret: r.filledSecret("cc_consumer_secret"),
		OAuthToken: r.filledSecret("cc_oauth_token"), OAuthSecret: r.filledSecret("cc_oauth_secret"),
		GitUser: r.filledText("cc_git_user"), GitPassword: r.filledSecret("cc_git_password"),
	}
	if len(f.problems) > before {
		return a // what follows from a mistake is no news
	}
	r.oauth(a)
	r.pair("cc_git_user", "cc_git_password")
	if r.has("cc_git_user") && r.has("cc_auth_user") {
		r.bad("cc_auth_user", "has no effect: cc_git_user is the user for deployment repositories; remove one of them")
	}
	r.bridge(a, api)
	return a
}

// oauth checks what is for OAuth only.
func (r *reader) oauth(a Auth) {
	consumer := []string{"cc_consumer_key", "cc_consumer_secret"}
	if a.Scheme == AuthOAuth1 {
		for _, key := range consumer {
			if !r.has(key) {
				r.missing(key, `cc_auth = "oauth1" needs it`)
			}
		}
		r.pair("cc_oauth_token", "cc_oauth_secret")
		return
	}
	for _, key := range append(consumer, "cc_oauth_token", "cc_oauth_secret", "cc_oauth_signature") {
		if r.has(key) {
			r.bad(r.spelled(key), "has no effect with cc_auth = %q; set cc_auth = \"oauth1\", or remove it", a.Scheme)
		}
	}
}

// bridge checks what is peculiar to the host of the API tokens.
func (r *reader) bridge(a Auth, api string) {
	u, err := url.Parse(strings.TrimSpace(api))
	switch {
	case err != nil || !strings.EqualFold(u.Hostname(), bridgeHost):
	case a.Scheme != AuthBearer:
		r.bad("cc_auth", "found %q, want %q: %s takes API tokens only", a.Scheme, AuthBearer, bridgeHost)
	case a.GitPassword.Empty():
		r.missing("cc_git_password", "API tokens cannot push to deployment repositories; set cc_git_user and cc_git_password to what can")
	}
}

// tenant reads the credential of the one tenant.
func (r *reader) tenant(a Auth) secret.String {
	switch {
	case a.Scheme != AuthOAuth1:
		return r.secret("cc_token")
	case a.OwnUser() && r.has("cc_token"):
		r.bad(r.spelled("cc_token"), "has no effect: cc_oauth_token is the credential; remove one of them")
		r.taken["cc_token"], r.taken["cc_token"+fileSuffix] = true, true
	case a.OwnUser():
	case !r.has("cc_token"):
		r.missing("cc_token", "set cc_oauth_token and cc_oauth_secret, or cc_token to both with a colon between")
	default:
		token := r.secret("cc_token")
		if !token.Empty() && !isPair(token) {
			r.bad(r.spelled("cc_token"), `found no colon within; with cc_auth = "oauth1" it is a user's OAuth token, a colon and its secret`)
		}
		return token
	}
	return secret.String{}
}

// isPair tells whether a tenant's credential is the token and the secret of an OAuth user.
func isPair(s secret.String) bool {
	token, password, ok := strings.Cut(s.Reveal(), ":")
	return ok && token != "" && password != ""
}

// spelled is a secret's key as it stands in the file.
func (r *reader) spelled(name string) string {
	if _, there := r.table[name+fileSuffix]; there {
		return name + fileSuffix
	}
	return name
}

// pair reports two keys of which one is missing.
func (r *reader) pair(one, two string) {
	switch {
	case r.has(one) && !r.has(two):
		r.missing(two, one+" needs it")
	case r.has(two) && !r.has(one):
		r.missing(one, two+" needs it")
	}
}

// filledSecret and filledText take what may be left out, but not be empty.
func (r *reader) filledSecret(name string) secret.String {
	before := len(r.file.problems)
	out := r.secret(name)
	r.filled(name, out.Empty(), before)
	return out
}

func (r *reader) filledText(name string) string {
	before := len(r.file.problems)
	out := r.text(name)
	r.filled(name, out == "", before)
	return out
}

func (r *reader) filled(name string, empty bool, before int) {
	if empty && r.has(name) && len(r.file.problems) == before {
		r.bad(r.spelled(name), "empty; set it, or remove it")
	}
}
