// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/cloud/cloudtest"
	"heptapod-paas-runner/internal/secret"
	sim "heptapod-paas-runner/internal/sim/clever"
)

const consumerSecret = "consumer's secret & more"

// member is somebody who may act for an organisation.
type member struct{ secret, orgToken string }

// gate lets through who proves who he is, strictly, by another reading of RFC 5849 than the
// provisioner's, and then speaks to the platform for him.
type gate struct {
	scheme  string // Bearer, PLAINTEXT or HMAC-SHA512
	members map[string]member
	git     map[string]string // user and password to the organisation's token
	next    http.Handler

	mu     sync.Mutex
	nonces map[string]bool
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := r.Header.Get("Authorization")
	if shown == "" || strings.HasPrefix(r.URL.Path, "/_sim/") {
		g.next.ServeHTTP(w, r)
		return
	}
	token, ok := g.tokenOf(r, shown)
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, refused)
		return
	}
	r = r.Clone(r.Context())
	if strings.HasPrefix(r.URL.Path, "/git/") {
		r.SetBasicAuth("Jenkins", token)
	} else {
		r.Header.Set("Authorization", "token "+token)
	}
	g.next.ServeHTTP(w, r)
}

func (g *gate) tokenOf(r *http.Request, shown string) (string, bool) {
	if strings.HasPrefix(r.URL.Path, "/git/") {
		user, password, _ := r.BasicAuth()
		token, ok := g.git[user+" "+password]
		return token, ok
	}
	if token, ok := strings.CutPrefix(shown, "Bearer "); ok {
		who, known := g.members[token]
		return who.orgToken, known && g.scheme == "Bearer"
	}
	fields, ok := strings.CutPrefix(shown, "OAuth ")
	if !ok {
		return "", false
	}
	params := map[string]string{}
	for field := range strings.SplitSeq(fields, ", ") {
		name, quoted, _ := strings.Cut(field, "=")
		value, err := url.QueryUnescape(strings.ReplaceAll(strings.Trim(quoted, `"`), "+", "%2B"))
		if err != nil || params[name] != "" {
			return "", false
		}
		params[name] = value
	}
	who, known := g.members[params["oauth_token"]]
	return who.orgToken, known && params["oauth_consumer_key"] == "ckey" && g.signed(r, params, who)
}

// signed checks the signature as a server does that makes it anew.
func (g *gate) signed(r *http.Request, params map[string]string, who member) bool {
	key := encoded(consumerSecret) + "&" + encoded(who.secret)
	signature := params["oauth_signature"]
	if g.scheme == "PLAINTEXT" {
		return signature == key && len(params) == 3
	}
	delete(params, "oauth_signature")
	at, err := strconv.ParseInt(params["oauth_timestamp"], 10, 64)
	g.mu.Lock()
	again := g.nonces[params["oauth_nonce"]]
	g.nonces[params["oauth_nonce"]] = true
	g.mu.Unlock()
	if again || err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute || params["oauth_signature_method"] != "HMAC-SHA512" {
		return false
	}
	var pairs [][2]string
	for name, value := range params {
		pairs = append(pairs, [2]string{encoded(name), encoded(value)})
	}
	for name, values := range r.URL.Query() {
		for _, value := range values {
			pairs = append(pairs, [2]string{encoded(name), encoded(value)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var joined []string
	for _, p := range pairs {
		joined = append(joined, p[0]+"="+p[1])
	}
	base := r.Method + "&" + encoded("http://"+r.Host+r.URL.EscapedPath()) + "&" + encoded(strings.Join(joined, "&"))
	mac := hmac.New(sha512.New, []byte(key))
	mac.Write([]byte(base))
	return signature == base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// encoded encodes by the rules of RFC 5849, 3.6, with the means of the standard library.
func encoded(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
}

// The contract holds by every scheme, against a platform that lets nobody else through.
func TestConformanceOfSchemes(t *testing.T) {
	t.Parallel()
	users := map[string]member{"user-1": {"s1%&", sim.FirstToken}, "user-2": {"s+2/=", "neighbour-token"}}
	usersGit := map[string]string{"user-1 s1%&": sim.FirstToken, "user-2 s+2/=": "neighbour-token"}
	for name, c := range map[string]struct {
		cfg         clever.Config
		members     map[string]member
		git         map[string]string
		ours, other string // credentials
	}{
		"Bearer": {
			clever.Config{Auth: "bearer"},
			map[string]member{"service-1": {"", sim.FirstToken}, "service-2": {"", "neighbour-token"}},
			map[string]string{"Jenkins service-1": sim.FirstToken, "Jenkins service-2": "neighbour-token"}, "service-1", "service-2",
		},
		"PLAINTEXT":   {clever.Config{Auth: "oauth1"}, users, usersGit, "user-1:s1%&", "user-2:s+2/="},
		"HMAC-SHA512": {clever.Config{Auth: "oauth1", OAuthSignature: "HMAC-SHA512"}, users, usersGit, "user-1:s1%&", "user-2:s+2/="},
	} {
		c.cfg.ConsumerKey, c.cfg.ConsumerSecret = "ckey", secret.New(consumerSecret)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
				w := simulated(t, c.cfg, func(next http.Handler) http.Handler {
					return &gate{scheme: name, members: c.members, git: c.git, next: next, nonces: map[string]bool{}}
				})
				h := w.harness()
				h.Tenant = cloud.Tenant{ID: sim.FirstOrganisation, Token: secret.New(c.ours)}
				h.Neighbour = cloud.Tenant{ID: "orga_neighbour", Token: secret.New(c.other)}
				return h
			})
		})
	}
}
