// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"crypto/subtle"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// secretOf takes the secret out of an Authorization header: `token <token>`,
// `Bearer <token>`, or OAuth 1.0a PLAINTEXT with the token as its token secret.
func secretOf(header string) string {
	scheme, rest, _ := strings.Cut(header, " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(scheme) {
	case "token", "bearer":
		return rest
	case "oauth":
		return oauthSecret(rest)
	}
	return ""
}

func (o *organisation) owns(token string) bool {
	return token != "" && subtle.ConstantTimeCompare([]byte(o.token), []byte(token)) == 1
}

// orgWithToken finds the first organisation, by id, that a token belongs to.
// Needs s.mu.
func (s *Server) orgWithToken(token string) *organisation {
	for _, id := range slices.Sorted(maps.Keys(s.orgs)) {
		if o := s.orgs[id]; o.owns(token) {
			return o
		}
	}
	return nil
}

// oauthSecret takes the token secret out of a PLAINTEXT signature, which is the
// consumer's secret, an ampersand and the token's secret. The platform's own
// clients send no method, which means PLAINTEXT too.
func oauthSecret(params string) string {
	signature := ""
	for part := range strings.SplitSeq(params, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		v = strings.Trim(v, `"`)
		switch k {
		case "oauth_signature":
			signature = v
		case "oauth_signature_method":
			if v != "PLAINTEXT" {
				return ""
			}
		}
	}
	plain, err := url.QueryUnescape(signature)
	if err != nil {
		return ""
	}
	_, secret, found := strings.Cut(plain, "&")
	if !found {
		return ""
	}
	if unescaped, err := url.QueryUnescape(secret); err == nil {
		secret = unescaped
	}
	return secret
}
