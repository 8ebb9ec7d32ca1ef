// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
)

// ask makes a request with an Authorization header. It gives status and error id.
func ask(t *testing.T, s *clever.Server, method, path, header string) (status, id int) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://clever.test"+path, nil)
	r.Header.Set("Authorization", header)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var m struct{ ID int }
	_ = json.Unmarshal(w.Body.Bytes(), &m) // an array has no id
	return w.Code, m.ID
}

const plainHeader = `OAuth oauth_consumer_key="sim-consumer-key", oauth_token="sim-oauth-token", oauth_signature="sim-consumer-secret%26sim-oauth-secret"`

// Each credential opens the doors that it is made for, and no other.
func TestEachCredentialAtEachDoor(t *testing.T) {
	t.Parallel()
	s := clever.New(clever.Config{})
	one := api{t: t, s: s, token: clever.FirstToken}.create("one")
	const yes, no = http.StatusOK, http.StatusUnauthorized
	for _, tt := range []struct {
		name, header            string
		api, v4, bridge, tokens int
	}{
		{"nothing", "", no, no, no, no},
		{"organisation token", "token sim-cc-token", yes, yes, no, no},
		{"the same in capitals", "TOKEN sim-cc-token", yes, yes, no, no},
		{"the same as bearer", "Bearer sim-cc-token", no, no, no, no},
		{"without a scheme", "sim-cc-token", no, no, no, no},
		{"by another scheme", "Basic c2ltOnNpbS1jYy10b2tlbg==", no, no, no, no},
		{"an empty token", "token ", no, no, no, no},
		{"a wrong token", "token sim-cc-tokem", no, no, no, no},
		{"API token", "Bearer sim-api-token", no, no, yes, yes},
		{"API token as token", "token sim-api-token", no, no, no, no},
		{"service token", "Bearer sim-service-token", yes, no, no, no},
		{"service token as token", "token sim-service-token", no, no, no, no},
		{"OAuth", plainHeader, yes, yes, no, yes},
		{"OAuth, method named", plainHeader + `, oauth_signature_method="PLAINTEXT"`, yes, yes, no, yes},
		{"OAuth, wrong method", plainHeader + `, oauth_signature_method="HMAC-SHA1"`, no, no, no, no},
		{"OAuth, wrong version", plainHeader + `, oauth_version="2.0"`, no, no, no, no},
		{"OAuth, said twice", plainHeader + `, oauth_token="sim-oauth-token"`, no, no, no, no},
		{"OAuth, no quotes", strings.ReplaceAll(plainHeader, `"`, ""), no, no, no, no},
		{"OAuth, wrong secret", strings.Replace(plainHeader, "oauth-secret", "oauth-wrong", 1), no, no, no, no},
		{"OAuth, wrong consumer's secret", strings.Replace(plainHeader, "consumer-secret", "consumer-wrong", 1), no, no, no, no},
		{"OAuth, wrong token", strings.Replace(plainHeader, "oauth-token", "oauth-wrong", 1), no, no, no, no},
		{"OAuth, wrong consumer", strings.Replace(plainHeader, "consumer-key", "consumer-wrong", 1), no, no, no, no},
		{"OAuth, the organisation's token", strings.Replace(plainHeader, "sim-oauth-secret", "sim-cc-token", 1), no, no, no, no},
	} {
		for path, want := range map[string]int{
			apps + "/" + one.ID: tt.api, "/v2/self": tt.api, "/v2/summary": tt.api,
			"/v4/orchestration" + strings.TrimPrefix(apps, "/v2") + "/" + one.ID + "/instances": tt.v4,
			"/bridge" + apps: tt.bridge, "/bridge/v2/self": tt.bridge, "/bridge/v4/orchestration" + strings.TrimPrefix(apps, "/v2") + "/" + one.ID + "/deployments": tt.bridge,
			"/bridge/api-tokens": tt.tokens,
		} {
			status, id := ask(t, s, http.MethodGet, path, tt.header)
			if status != want || want == no && id != 2001 {
				t.Errorf("%s: GET %s = %d, id %d, want %d", tt.name, path, status, id, want)
			}
		}
	}
	for _, path := range []string{"/api-tokens", "/bridge/git/" + one.ID + ".git/info/refs", "/bridge/_sim/applications", "/bridge/x"} {
		if status, id := ask(t, s, http.MethodGet, path, "Bearer sim-api-token"); status != http.StatusNotFound || id != 404 {
			t.Errorf("GET %s = %d, id %d", path, status, id)
		}
	}
	if status, _ := ask(t, s, http.MethodPatch, "/bridge/v2/self", "Bearer sim-api-token"); status != http.StatusNotFound {
		t.Errorf("the bridge passes on PATCH: %d", status)
	}
	query := "?authorization=" + base64.URLEncoding.EncodeToString([]byte("token sim-cc-token"))
	if status, _ := ask(t, s, http.MethodGet, apps+query, ""); status != http.StatusOK {
		t.Errorf("shown in the query: %d", status)
	}
	if status, _ := ask(t, s, http.MethodDelete, apps+"/"+one.ID+query, ""); status != no {
		t.Errorf("shown in the query of a deletion: %d", status)
	}
}

// What is another organisation's is refused, by every scheme.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	s := clever.New(clever.Config{})
	s.SetOrganisation("orga_b", "token-b")
	if err := s.SetUser("user_b", clever.User{Token: "ub", Secret: "sb", APIToken: "api-b", Organisations: []string{"orga_b"}}); err != nil {
		t.Fatal(err)
	}
	one := api{t: t, s: s, token: clever.FirstToken}.create("one")
	for name, tt := range map[string]struct{ header, base string }{
		"token":     {"token token-b", ""},
		"oauth":     {`OAuth oauth_consumer_key="sim-consumer-key", oauth_token="ub", oauth_signature="sim-consumer-secret%26sb"`, ""},
		"API token": {"Bearer api-b", "/bridge"},
	} {
		for _, c := range []struct {
			method, path string
			status, id   int
		}{
			{"GET", apps, 403, 2002}, {"POST", apps, 403, 2002}, {"GET", apps + "/" + one.ID, 403, 2002}, {"DELETE", apps + "/" + one.ID, 403, 2002},
			{"GET", "/v2/organisations/orga_b/applications", 200, 0},
			{"GET", "/v2/organisations/orga_b/applications/" + one.ID, 404, 4004},
			{"DELETE", "/v2/organisations/orga_b/applications/" + one.ID, 404, 4004},
			{"GET", "/v2/organisations/orga_c/applications", 404, 4001},
			{"GET", "/v2/organisations/user_sim/applications", 403, 2002},
		} {
			if status, id := ask(t, s, c.method, tt.base+c.path, tt.header); status != c.status || id != c.id {
				t.Errorf("%s: %s %s = %d, id %d, want %d, id %d", name, c.method, c.path, status, id, c.status, c.id)
			}
		}
	}
	for name, want := range map[string]int{"any:token-b": 403, "ub:sb": 403, "ub:wrong": 401, "any:sb": 401, "any:api-b": 401, "ub:api-b": 401, "sim-oauth-token:sim-api-token": 401} {
		if got := gitStatus(t, s, one.ID, name); got != want {
			t.Errorf("git as %s: %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"Jenkins:sim-cc-token", "sim-oauth-token:sim-oauth-secret", "any:sim-service-token"} {
		if got := gitStatus(t, s, one.ID, name); got != http.StatusOK {
			t.Errorf("git as %s: %d", name, got)
		}
	}
	if s.Applications()[0].State != "created" {
		t.Error("a refused call had an effect")
	}
}

func gitStatus(t *testing.T, s *clever.Server, app, credential string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/git/"+app+".git/info/refs?service=git-receive-pack", nil)
	user, password, _ := strings.Cut(credential, ":")
	r.SetBasicAuth(user, password)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

// signed makes an OAuth header by hand: the base string is given, so that this can't be
// the same mistake twice.
func signed(newHash func() hash.Hash, method, base, nonce string, at time.Time) string {
	base = strings.NewReplacer("NONCE", nonce, "METHOD", method, "TIME", fmt.Sprint(at.Unix())).Replace(base)
	mac := hmac.New(newHash, []byte("sim-consumer-secret&sim-oauth-secret"))
	mac.Write([]byte(base))
	signature := strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return fmt.Sprintf(`OAuth realm="x", oauth_consumer_key="sim-consumer-key", oauth_nonce="%s", oauth_signature="%s", oauth_signature_method="%s", oauth_timestamp="%d", oauth_token="sim-oauth-token", oauth_version="1.0"`,
		nonce, signature, method, at.Unix())
}

func TestSignaturesAreChecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := clever.New(clever.Config{})
		api{t: t, s: s, token: clever.FirstToken}.create("one")
		const path = apps + "?limit=5&b=x%20y&a=%C3%A4"
		const tail = "oauth_consumer_key%3Dsim-consumer-key%26oauth_nonce%3DNONCE%26oauth_signature_method%3DMETHOD%26oauth_timestamp%3DTIME%26oauth_token%3Dsim-oauth-token%26oauth_version%3D1.0"
		const address = "GET&http%3A%2F%2Fclever.test%2Fv2%2Forganisations%2Forga_sim%2Fapplications&"
		const base = address + "a%3D%25C3%25A4%26b%3Dx%2520y%26limit%3D5%26" + tail
		now := time.Now()
		for _, tt := range []struct {
			name, header string
			want         int
		}{
			{"SHA1", signed(sha1.New, "HMAC-SHA1", base, "n1", now), 200},
			{"SHA512", signed(sha512.New, "HMAC-SHA512", base, "n2", now), 200},
			{"the same once more", signed(sha512.New, "HMAC-SHA512", base, "n2", now), 401},
			{"four minutes ago", signed(sha512.New, "HMAC-SHA512", base, "n3", now.Add(-4*time.Minute)), 200},
			{"six minutes ago", signed(sha512.New, "HMAC-SHA512", base, "n4", now.Add(-6*time.Minute)), 401},
			{"in six minutes", signed(sha512.New, "HMAC-SHA512", base, "n5", now.Add(6*time.Minute)), 401},
			{"no nonce", signed(sha512.New, "HMAC-SHA512", base, "", now), 401},
			{"without the query", signed(sha512.New, "HMAC-SHA512", address+tail, "n6", now), 401},
			{"another hash than it says", signed(sha1.New, "HMAC-SHA512", base, "n7", now), 401},
			{"a hash that is not known", signed(sha512.New, "HMAC-MD5", base, "n8", now), 401},
			{"another method", signed(sha512.New, "HMAC-SHA512", strings.Replace(base, "GET", "POST", 1), "n9", now), 401},
			{"another host", signed(sha512.New, "HMAC-SHA512", strings.Replace(base, "clever.test", "clever.example", 1), "n10", now), 401},
		} {
			if status, _ := ask(t, s, http.MethodGet, path, tt.header); status != tt.want {
				t.Errorf("%s: %d, want %d", tt.name, status, tt.want)
			}
		}
		at(12 * time.Minute)
		if status, _ := ask(t, s, http.MethodGet, path, signed(sha512.New, "HMAC-SHA512", base, "n2", time.Now())); status != 200 {
			t.Errorf("a nonce of long ago with a new time: %d", status)
		}
		at(90 * 24 * time.Hour)
		for _, header := range []string{plainHeader, signed(sha1.New, "HMAC-SHA1", base, "n11", time.Now()), "Bearer sim-service-token"} {
			if status, id := ask(t, s, http.MethodGet, path, header); status != 401 || id != 2001 {
				t.Errorf("after three months: %d, id %d", status, id)
			}
		}
		if status, _ := ask(t, s, http.MethodGet, "/bridge"+apps, "Bearer sim-api-token"); status != 401 {
			t.Errorf("an API token after three months: %d", status)
		}
		if got := gitStatus(t, s, s.Applications()[0].ID, "sim-oauth-token:sim-oauth-secret"); got != 401 {
			t.Errorf("git after three months: %d", got)
		}
	})
}

func TestServiceTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{t: t, s: clever.New(clever.Config{}), token: clever.FirstToken}
		one, two := a.create("one"), a.create("two")
		const path = "/v2/organisations/orga_sim/service-tokens"
		var made struct {
			Token    string
			Metadata struct{ ID, Status string }
		}
		a.get("POST", path, `{"name":"ci","role":"DEVELOPER","resources":["`+one.ID+`"],"ttl_seconds":60}`, &made)
		bearer := "Bearer " + made.Token
		for _, c := range []struct {
			path string
			want int
		}{
			{apps + "/" + one.ID, 200}, {apps + "/" + two.ID, 403}, {apps, 403}, {"/v2/organisations/orga_sim/addons", 403}, {path, 403},
		} {
			if got, _ := ask(t, a.s, http.MethodGet, c.path, bearer); got != c.want {
				t.Errorf("GET %s = %d, want %d", c.path, got, c.want)
			}
		}
		if first, second := gitStatus(t, a.s, one.ID, "any:"+made.Token), gitStatus(t, a.s, two.ID, "any:"+made.Token); first != 200 || second != 403 {
			t.Errorf("git: %d, %d", first, second)
		}
		at(time.Minute)
		a.get("GET", path+"/"+made.Metadata.ID, "", &made.Metadata)
		if got, _ := ask(t, a.s, http.MethodGet, apps+"/"+one.ID, bearer); got != 401 || made.Metadata.Status != "EXPIRED" {
			t.Errorf("after its time: %d, %s", got, made.Metadata.Status)
		}
		a.get("POST", path, `{"name":"ci","role":"MANAGER"}`, &made)
		bearer = "Bearer " + made.Token
		if got, _ := ask(t, a.s, http.MethodGet, "/v2/organisations/orga_sim/addons", bearer); got != 200 {
			t.Errorf("a manager's add-ons: %d", got)
		}
		a.get("DELETE", path+"/"+made.Metadata.ID, "", nil)
		if got, _ := ask(t, a.s, http.MethodGet, apps, bearer); got != 401 {
			t.Errorf("after it was revoked: %d", got)
		}
		a.refused("DELETE", path+"/"+made.Metadata.ID, "", 404, 4404)
		for _, body := range []string{`{"role":"ADMIN"}`, `{"name":"x","role":"KING"}`, `{"name":"x","role":"ADMIN","ttl_seconds":0}`, `{"name":"x","role":"ADMIN","ttl_seconds":99999999999}`} {
			a.refused("POST", path, body, 400, 400)
		}
	})
}

func TestAPITokens(t *testing.T) {
	t.Parallel()
	s := clever.New(clever.Config{})
	do := func(method, path, header, body string, want int, into any) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, "http://clever.test"+path, strings.NewReader(body))
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s %s = %d %s, want %d", method, path, w.Code, w.Body, want)
		}
		if into != nil {
			if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
				t.Error(err)
			}
		}
	}
	var made struct{ APITokenID, APIToken, Name string }
	do("POST", "/bridge/api-tokens", "", `{"email":"user_sim@sim.invalid","password":"wrong","name":"ci"}`, 401, nil)
	do("POST", "/bridge/api-tokens", "", `{"email":"user_sim@sim.invalid","password":"sim-oauth-secret","name":"ci","expirationDate":"2999-01-01T00:00:00Z"}`, 400, nil)
	do("POST", "/bridge/api-tokens", "", `{"email":"user_sim@sim.invalid","password":"sim-oauth-secret","name":"ci"}`, 200, &made)
	do("GET", "/bridge/v2/self", "Bearer "+made.APIToken, "", 200, nil)
	do("PUT", "/bridge/api-tokens/"+made.APITokenID, plainHeader, `{"name":"new"}`, 200, nil)
	var list []struct{ APITokenID, APIToken, Name, State string }
	do("GET", "/bridge/api-tokens", plainHeader, "", 200, &list)
	if len(list) != 2 || list[1].Name != "new" || list[1].APIToken != "" || list[1].State != "ACTIVE" {
		t.Errorf("tokens %+v", list)
	}
	do("DELETE", "/bridge/api-tokens/"+made.APITokenID, plainHeader, "", 200, nil)
	do("DELETE", "/bridge/api-tokens/"+made.APITokenID, plainHeader, "", 404, nil)
	do("GET", "/bridge/v2/self", "Bearer "+made.APIToken, "", 401, nil)
}
