// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Authenticator acts for a tenant, whose token may be empty when the Authenticator
// has a credential of its own.
type Authenticator interface {
	// Authorize puts the credential on an API request.
	Authorize(r *http.Request, token secret.String) error
	// Git is the credential for deployment repositories; an empty user means the
	// configured one.
	Git(token secret.String) (user string, password secret.String, err error)
}

// Scheme is an Authenticator that sends `Authorization: <scheme> <token>`:
// "token" for the organisation tokens that runners use, "Bearer" for service tokens
// and, on the bridge's host, API tokens. The token is git's password too.
type Scheme string

// Authorize implements Authenticator.
func (s Scheme) Authorize(r *http.Request, token secret.String) error {
	if token.Empty() {
		return errNoCredential
	}
	if strings.ContainsFunc(token.Reveal(), unsendable) {
		return errOddCredential
	}
	r.Header.Set("Authorization", string(s)+" "+token.Reveal())
	return nil
}

// Git implements Authenticator.
func (s Scheme) Git(token secret.String) (string, secret.String, error) {
	if token.Empty() {
		return "", token, errNoCredential
	}
	return "", token, nil
}

var (
	errNoCredential  = fmt.Errorf("no credential for this tenant: %w", fleet.ErrUnauthorized)
	errOddCredential = fmt.Errorf("the tenant's credential holds white space or characters that no token has: %w", fleet.ErrUnauthorized)
)

// unsendable tells a character that no token has: an attribute may end with a line break.
func unsendable(c rune) bool { return c <= ' ' || c >= 0x7f }

// bridgeHost serves the API to the holders of API tokens, which git refuses.
const bridgeHost = "api-bridge.clever-cloud.com"

// authenticator makes what the configuration asks for.
func (cfg Config) authenticator() (Authenticator, error) {
	switch cfg.Auth {
	case "", "token":
		return Scheme("token"), nil
	case "bearer":
		base, err := url.Parse(cfg.APIURL)
		if err == nil && base.Hostname() == bridgeHost && cfg.GitPassword.Empty() {
			return nil, errors.New("cc_git_password: missing; API tokens cannot push to deployment repositories")
		}
		return Scheme("Bearer"), nil
	case "oauth1":
		return cfg.oauth()
	}
	return nil, fmt.Errorf("cc_auth %.40q: want token, bearer or oauth1", cfg.Auth)
}

func (cfg Config) oauth() (Authenticator, error) {
	o := OAuth1{
		ConsumerKey: cfg.ConsumerKey, ConsumerSecret: cfg.ConsumerSecret,
		Token: cfg.OAuthToken, Secret: cfg.OAuthSecret, Method: strings.ToUpper(cfg.OAuthSignature),
	}
	switch {
	case o.ConsumerKey == "" || o.ConsumerSecret.Empty():
		return nil, errors.New("cc_consumer_key, cc_consumer_secret: cc_auth = \"oauth1\" needs both")
	case o.Token.Empty() != o.Secret.Empty():
		return nil, errors.New("cc_oauth_token, cc_oauth_secret: want both or neither")
	case o.Method != "" && o.Method != Plaintext && o.Method != HMACSHA512:
		return nil, fmt.Errorf("cc_oauth_signature %.40q: want %s or %s", o.Method, Plaintext, HMACSHA512)
	}
	return o, nil
}

// sent lists what of an Authorization header must not be repeated: the token; for OAuth,
// the user's token, the signature, and the secrets that a PLAINTEXT signature is made of.
func sent(header string) []string {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "OAuth") {
		return []string{rest}
	}
	var list []string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name != "oauth_signature" && name != "oauth_token" {
			continue
		}
		value = strings.Trim(value, `"`)
		list = append(list, value)
		text, err := url.PathUnescape(value)
		if err != nil {
			continue
		}
		list = append(list, text)
		for key := range strings.SplitSeq(text, "&") {
			list = append(list, key)
			if plain, err := url.PathUnescape(key); err == nil {
				list = append(list, plain)
			}
		}
	}
	return list
}
