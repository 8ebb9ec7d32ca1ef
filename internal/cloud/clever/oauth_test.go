// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"heptapod-paas-runner/internal/secret"
)

// specExample is the base string of RFC 5849, section 3.4.1.1.
const specExample = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q" +
	"%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2" +
	"%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1" +
	"%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"

func newRequest(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The example has a form as its body; its two values stand among the parameters here.
func TestBaseStringOfTheSpecification(t *testing.T) {
	t.Parallel()
	r := newRequest(t, "POST", "http://EXAMPLE.com:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b")
	got := baseString(r, [][2]string{
		{"oauth_consumer_key", "9djdj82h48djs9d2"}, {"oauth_token", "kkk9d7dh3k39sjv7"}, {"oauth_signature_method", "HMAC-SHA1"},
		{"oauth_timestamp", "137131201"}, {"oauth_nonce", "7d8f3e4a"}, {"c2", ""}, {"a3", "2 q"},
	})
	if got != specExample {
		t.Errorf("got  %s\nwant %s", got, specExample)
	}
}

// Sorting goes by name, then by value, after encoding: "a=1" would stand behind "a-b=2" if
// whole pairs were compared, since "-" comes before "=".
func TestBaseStringSortsByName(t *testing.T) {
	t.Parallel()
	got := baseString(newRequest(t, "GET", "https://h/p?a-b=2&a=1&B=3&a=%C3%A4&a=%2B"), nil)
	if want := "GET&https%3A%2F%2Fh%2Fp&B%3D3%26a%3D%252B%26a%3D%25C3%25A4%26a%3D1%26a-b%3D2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The first two are RFC 5849's own, section 3.4.1.2.
func TestBaseURI(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"HTTP://EXAMPLE.COM:80/r%20v/X?id=123":  "http://example.com/r%20v/X",
		"https://www.example.net:8080/?q=1":     "https://www.example.net:8080/",
		"https://h:443/v2/organisations/a%2Fb/": "https://h/v2/organisations/a%2Fb/",
		"https://h:80/":                         "https://h:80/",
		"https://h":                             "https://h/",
		"https://[::1]:443/x":                   "https://[::1]/x",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := baseURI(u); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

// The signatures were made with openssl dgst -sha512 -hmac KEY.
func TestSign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, base, want string }{
		{"j49sk3j29djd&dh893hdasih9", specExample, "RKWkyty/iIQv+x55z7Y5GbLshaBePNBOxQ4ff7HBEDx1Tqd7XmyvZ7ymqcr8tg1VQPsoJhslOowtfjTdhTBnnQ=="},
		{
			"c%26s%20%2F&u%25s",
			"GET&https%3A%2F%2Fapi.clever-cloud.com%2Fv2%2Forganisations%2Forga_1%2Fapplications%2Fapp_1%2Fdeployments&limit%3D5" +
				"%26oauth_consumer_key%3Dckey%26oauth_nonce%3DNONCE%26oauth_signature_method%3DHMAC-SHA512%26oauth_timestamp%3D1795000000" +
				"%26oauth_token%3Dutoken%26oauth_version%3D1.0",
			"/PdYV0fyV3bgWNeXd/isf4JYLDPP+8IhTtpk6zFZKz5d3qCLq9/2poJ7Lv3y1erLGbAB2Z8syHhgkoCkCRCg5A==",
		},
	} {
		if got := sign(c.key, c.base); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestEscape(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"abcXYZ019-._~": "abcXYZ019-._~", " ": "%20", "+": "%2B", "&": "%26", "=": "%3D", "%": "%25", "/": "%2F", "ä": "%C3%A4",
		"*": "%2A", "!": "%21", "'": "%27", "\x00": "%00", "": "",
	} {
		if got := escape(raw); got != want {
			t.Errorf("%q: got %s, want %s", raw, got, want)
		}
	}
}

// robot is a user of its own for all tenants, with characters that have to be encoded.
func robot(method string) OAuth1 {
	return OAuth1{
		ConsumerKey: "ckey", ConsumerSecret: secret.New("c&s /"), Token: secret.New("utoken"), Secret: secret.New("u%s"), Method: method,
	}
}

// As Clever Cloud's own client sends it: no method, nonce, time or version.
func TestPlaintextHeader(t *testing.T) {
	t.Parallel()
	r := newRequest(t, "GET", "https://api.clever-cloud.com/v2/self")
	if err := robot("").Authorize(r, secret.String{}); err != nil {
		t.Fatal(err)
	}
	want := `OAuth oauth_consumer_key="ckey", oauth_token="utoken", oauth_signature="c%2526s%2520%252F%26u%2525s"`
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The signature is worked out again from what the header says and from a base string
// written by hand.
func TestSignedHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it is the first of January 2000
		seen := map[string]bool{}
		for range 3 {
			r := newRequest(t, "GET", "https://API.clever-cloud.com/v2/organisations/orga_1/applications/app_1/deployments?limit=5")
			if err := robot(HMACSHA512).Authorize(r, secret.String{}); err != nil {
				t.Fatal(err)
			}
			form := regexp.MustCompile(`^OAuth oauth_consumer_key="ckey", oauth_token="utoken", oauth_nonce="([A-Z2-7]{26})", ` +
				`oauth_signature_method="HMAC-SHA512", oauth_timestamp="946684800", oauth_version="1.0", oauth_signature="([^"]+)"$`)
			m := form.FindStringSubmatch(r.Header.Get("Authorization"))
			if m == nil {
				t.Fatalf("got %s", r.Header.Get("Authorization"))
			}
			base := "GET&https%3A%2F%2Fapi.clever-cloud.com%2Fv2%2Forganisations%2Forga_1%2Fapplications%2Fapp_1%2Fdeployments&limit%3D5" +
				"%26oauth_consumer_key%3Dckey%26oauth_nonce%3D" + m[1] + "%26oauth_signature_method%3DHMAC-SHA512" +
				"%26oauth_timestamp%3D946684800%26oauth_token%3Dutoken%26oauth_version%3D1.0"
			if want := escape(sign("c%26s%20%2F&u%25s", base)); m[2] != want {
				t.Errorf("signature %s, want %s", m[2], want)
			}
			if seen[m[1]] {
				t.Error("a nonce came twice")
			}
			seen[m[1]] = true
			for _, part := range []string{"c&s", "c%26s", "u%s", "u%25s"} {
				if strings.Contains(r.Header.Get("Authorization"), part) {
					t.Errorf("a secret is in the header: %s", r.Header.Get("Authorization"))
				}
			}
		}
	})
}

// What a header holds that no text may repeat: whole and in parts, encoded and plain.
func TestWhatWasSent(t *testing.T) {
	t.Parallel()
	r := newRequest(t, "GET", "https://h/")
	if err := robot(Plaintext).Authorize(r, secret.String{}); err != nil {
		t.Fatal(err)
	}
	got := sent(r.Header.Get("Authorization"))
	for _, want := range []string{"utoken", "c&s /", "c%26s%20%2F", "u%s", "u%25s", "c%26s%20%2F&u%25s", "c%2526s%2520%252F%26u%2525s"} {
		if text := redact("x"+want+"y", got); text != "x[redacted]y" {
			t.Errorf("%s becomes %s", want, text)
		}
	}
	if text := redact("ckey stays; ab, abc", append(got, "ab", "abc")); text != "ckey stays; [redacted], [redacted]" {
		t.Errorf("got %s", text)
	}
}
