// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	clockSkew   = 5 * time.Minute // how far a client's clock may be off
	plaintext   = "PLAINTEXT"
	formContent = "application/x-www-form-urlencoded"
)

// param is one name and value that a signature covers.
type param struct{ name, value string }

// bySignature checks a request that is signed by OAuth 1.0a (RFC 5849): PLAINTEXT, which
// is meant too when no method is named, HMAC-SHA1 or HMAC-SHA512. Needs s.mu.
func (s *Server) bySignature(c *call, header string) (*identity, error) {
	params, err := readOAuth(header)
	if err != nil {
		return nil, notAuthenticated("%s", err)
	}
	value := map[string]string{}
	for _, p := range params {
		value[p.name] = p.value
	}
	secret := s.consumers[value["oauth_consumer_key"]]
	i := slices.IndexFunc(s.sortedUsers(), func(u *user) bool { return equal(u.token, value["oauth_token"]) })
	switch version, given := value["oauth_version"]; {
	case secret == "":
		return nil, notAuthenticated("the consumer is not known here")
	case i < 0:
		return nil, notAuthenticated("the OAuth token is not known here")
	case given && version != "1.0":
		return nil, notAuthenticated("oauth_version is not 1.0")
	}
	u := s.sortedUsers()[i]
	if !c.now.Before(u.ends) {
		return nil, notAuthenticated("the OAuth token has expired")
	}
	method, signature := cmp.Or(value["oauth_signature_method"], plaintext), value["oauth_signature"]
	if method == plaintext {
		err = checkPlain(signature, secret, u.secret)
	} else {
		err = s.checkSigned(c, params, value, escape(secret)+"&"+escape(u.secret))
	}
	if err != nil {
		return nil, notAuthenticated("%s", err)
	}
	return u.identity(), nil
}

// readOAuth reads what follows the scheme: name="value", separated by commas.
func readOAuth(header string) ([]param, error) {
	var list []param
	for part := range strings.SplitSeq(header, ",") {
		name, quoted, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found || len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
			return nil, errors.New("the OAuth header can't be read")
		}
		name, err := url.PathUnescape(name)
		if err != nil {
			return nil, errors.New("the OAuth header is not encoded rightly")
		}
		value, err := url.PathUnescape(quoted[1 : len(quoted)-1])
		if err != nil {
			return nil, errors.New("the OAuth header is not encoded rightly")
		}
		if slices.ContainsFunc(list, func(p param) bool { return p.name == name }) {
			return nil, errors.New("the OAuth header names " + name + " twice")
		}
		list = append(list, param{name, value})
	}
	return list, nil
}

// checkPlain compares the two secrets. The platform's own clients do not encode them a
// second time, as the specification would have it.
func checkPlain(signature, consumer, token string) error {
	if equal(consumer+"&"+token, signature) || equal(escape(consumer)+"&"+escape(token), signature) {
		return nil
	}
	return errors.New("the secrets are wrong")
}

// checkSigned makes the signature anew and compares.
func (s *Server) checkSigned(c *call, params []param, value map[string]string, key string) error {
	hashes := map[string]func() hash.Hash{"HMAC-SHA1": sha1.New, "HMAC-SHA512": sha512.New}
	newHash := hashes[value["oauth_signature_method"]]
	if newHash == nil {
		return errors.New("the signature method is not known here")
	}
	at, err := strconv.ParseInt(value["oauth_timestamp"], 10, 64)
	if err != nil || c.now.Sub(time.Unix(at, 0)).Abs() > clockSkew {
		return errors.New("oauth_timestamp is not the time")
	}
	if value["oauth_nonce"] == "" {
		return errors.New("oauth_nonce is missing")
	}
	signed := slices.DeleteFunc(slices.Clone(params), func(p param) bool { return p.name == "realm" || p.name == "oauth_signature" })
	base := baseString(c.r.Method, strings.SplitN(c.base, "://", 2)[0]+"://"+c.r.Host+c.r.URL.EscapedPath(), append(signed, c.signedParams()...))
	if !equal(sign(newHash, key, base), value["oauth_signature"]) {
		return errors.New("the signature is wrong")
	}
	if !s.nonces.fresh(strings.Join([]string{value["oauth_consumer_key"], value["oauth_token"], value["oauth_timestamp"], value["oauth_nonce"]}, " "), c.now) {
		return errors.New("oauth_nonce was used before")
	}
	return nil
}

// signedParams are the parameters of the query and of a form.
func (c *call) signedParams() []param {
	sources := []string{c.r.URL.RawQuery}
	if kind, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";"); kind == formContent && c.r.Method != http.MethodGet {
		sources = append(sources, string(c.body))
	}
	var list []param
	for _, source := range sources {
		values, err := url.ParseQuery(source)
		if err != nil {
			continue // then the signature will not fit
		}
		for name, all := range values {
			for _, v := range all {
				list = append(list, param{name, v})
			}
		}
	}
	return list
}

func sign(newHash func() hash.Hash, key, base string) string {
	mac := hmac.New(newHash, []byte(key))
	mac.Write([]byte(base))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// baseString is what is signed (RFC 5849, 3.4.1). The address has no query.
func baseString(method, address string, params []param) string {
	encoded := make([]param, len(params))
	for i, p := range params {
		encoded[i] = param{escape(p.name), escape(p.value)}
	}
	slices.SortFunc(encoded, func(a, b param) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	pairs := make([]string, len(encoded))
	for i, p := range encoded {
		pairs[i] = p.name + "=" + p.value
	}
	return strings.ToUpper(method) + "&" + escape(baseAddress(address)) + "&" + escape(strings.Join(pairs, "&"))
}

// baseAddress writes scheme and host in lower case and leaves a standard port out.
func baseAddress(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	host, path, _ := strings.Cut(rest, "/")
	scheme, host = strings.ToLower(scheme), strings.ToLower(host)
	host = strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[scheme])
	return scheme + "://" + host + "/" + path
}

// escape encodes all but the characters that RFC 3986 leaves alone.
func escape(s string) string {
	const kept = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(kept, s[i]) >= 0 {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte('%')
		b.WriteByte("0123456789ABCDEF"[s[i]>>4])
		b.WriteByte("0123456789ABCDEF"[s[i]&15])
	}
	return b.String()
}

// nonces remembers what was signed lately.
type nonces struct {
	known map[string]bool
	order []seenNonce // oldest first
}

type seenNonce struct {
	text string
	at   time.Time
}

// fresh notes a nonce; false if it was there. One that is too old for its timestamp to
// be accepted is forgotten.
func (n *nonces) fresh(text string, at time.Time) bool {
	old := 0
	for old < len(n.order) && at.Sub(n.order[old].at) > 2*clockSkew {
		delete(n.known, n.order[old].text)
		old++
	}
	n.order = n.order[old:]
	if n.known[text] {
		return false
	}
	if n.known == nil {
		n.known = map[string]bool{}
	}
	n.known[text] = true
	n.order = append(n.order, seenNonce{text, at})
	return true
}
