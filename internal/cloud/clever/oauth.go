// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// The methods to sign with.
const (
	Plaintext  = "PLAINTEXT"
	HMACSHA512 = "HMAC-SHA512"
)

// OAuth1 is an Authenticator that signs by OAuth 1.0a (RFC 5849) for a user who is
// a member of the tenants' organisations. Token and secret are git's user and
// password too.
type OAuth1 struct {
	ConsumerKey    string
	ConsumerSecret secret.String
	// Token and Secret are the user's. Without them each tenant has its own user:
	// the tenant's token is the user's token, a colon and the secret.
	Token, Secret secret.String
	Method        string // Plaintext if empty
}

// Authorize implements Authenticator.
func (o OAuth1) Authorize(r *http.Request, token secret.String) error {
	user, password, err := o.Git(token)
	if err != nil {
		return err
	}
	// As Clever Cloud's own client: without a method it is PLAINTEXT, and nothing
	// else is said.
	params := [][2]string{{"oauth_consumer_key", o.ConsumerKey}, {"oauth_token", user}}
	key := escape(o.ConsumerSecret.Reveal()) + "&" + escape(password.Reveal())
	signature := key
	if cmp.Or(o.Method, Plaintext) == HMACSHA512 {
		params = append(params,
			[2]string{"oauth_nonce", rand.Text()},
			[2]string{"oauth_signature_method", HMACSHA512},
			[2]string{"oauth_timestamp", strconv.FormatInt(time.Now().Unix(), 10)},
			[2]string{"oauth_version", "1.0"},
		)
		signature = sign(key, baseString(r, params))
	}
	params = append(params, [2]string{"oauth_signature", signature})
	parts := make([]string, len(params))
	for i, p := range params {
		parts[i] = p[0] + `="` + escape(p[1]) + `"`
	}
	r.Header.Set("Authorization", "OAuth "+strings.Join(parts, ", "))
	return nil
}

// Git implements Authenticator.
func (o OAuth1) Git(token secret.String) (string, secret.String, error) {
	if !o.Token.Empty() {
		return o.Token.Reveal(), o.Secret, nil
	}
	if token.Empty() {
		return "", token, errNoCredential
	}
	user, password, ok := strings.Cut(token.Reveal(), ":")
	if !ok || user == "" || password == "" || strings.ContainsFunc(token.Reveal(), unsendable) {
		return "", secret.String{}, fmt.Errorf("the tenant's credential is not an OAuth token, a colon and its secret: %w", fleet.ErrUnauthorized)
	}
	return user, secret.New(password), nil
}

// sign is HMAC-SHA512 as OAuth would have it if it knew of it (RFC 5849, 3.4.2).
func sign(key, base string) string {
	mac := hmac.New(sha512.New, []byte(key))
	mac.Write([]byte(base))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// baseString is what is signed (RFC 5849, 3.4.1). The body has no part in it: it is
// JSON, not a form.
func baseString(r *http.Request, params [][2]string) string {
	var pairs []string
	add := func(name, value string) { pairs = append(pairs, escape(name)+"="+escape(value)) }
	for _, p := range params {
		add(p[0], p[1])
	}
	for name, values := range r.URL.Query() {
		for _, value := range values {
			add(name, value)
		}
	}
	// Sorted by name, then value; not as text, since "=" does not sort before what
	// may follow in a longer name.
	slices.SortFunc(pairs, func(a, b string) int {
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		return cmp.Or(strings.Compare(an, bn), strings.Compare(av, bv))
	})
	return r.Method + "&" + escape(baseURI(r.URL)) + "&" + escape(strings.Join(pairs, "&"))
}

// baseURI is the URL without query and default port, scheme and host in lower case.
func baseURI(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if standard := map[string]string{"http": ":80", "https": ":443"}[scheme]; standard != "" {
		host = strings.TrimSuffix(host, standard)
	}
	return scheme + "://" + host + cmp.Or(u.EscapedPath(), "/")
}

// escape encodes everything but the unreserved characters of RFC 3986.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
