// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"crypto/sha1"
	"testing"
	"time"
)

// The examples of RFC 5849, sections 1.2 and 3.4.1.
func TestExamplesOfTheSpecification(t *testing.T) {
	t.Parallel()
	base := baseString("GET", "http://photos.example.net/photos", []param{
		{"file", "vacation.jpg"}, {"size", "original"}, {"oauth_consumer_key", "dpf43f3p2l4k3l03"}, {"oauth_token", "nnch734d00sl2jdk"},
		{"oauth_signature_method", "HMAC-SHA1"}, {"oauth_timestamp", "137131202"}, {"oauth_nonce", "chapoH"},
	})
	if got := sign(sha1.New, "kd94hf93k423kf44&pfkkdhi9sl3r4s00", base); got != "MdpQcU8iPSUjWoN/UDMsK2sui9I=" {
		t.Errorf("signature %s of %s", got, base)
	}
	got := baseString("post", "http://EXAMPLE.COM:80/request", []param{
		{"b5", "=%3D"}, {"a3", "a"}, {"c@", ""}, {"a2", "r b"}, {"oauth_consumer_key", "9djdj82h48djs9d2"}, {"oauth_token", "kkk9d7dh3k39sjv7"},
		{"oauth_signature_method", "HMAC-SHA1"}, {"oauth_timestamp", "137131201"}, {"oauth_nonce", "7d8f3e4a"}, {"c2", ""}, {"a3", "2 q"},
	})
	want := "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26" +
		"oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26" +
		"oauth_token%3Dkkk9d7dh3k39sjv7"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What is too old to be accepted is not kept for ever.
func TestNoncesAreForgotten(t *testing.T) {
	t.Parallel()
	var n nonces
	at := time.Unix(1_700_000_000, 0)
	for range 1000 {
		at = at.Add(time.Minute)
		if !n.fresh(at.String(), at) || n.fresh(at.String(), at) {
			t.Fatal("a nonce is not good once")
		}
	}
	if len(n.order) > 11 || len(n.known) != len(n.order) {
		t.Errorf("%d and %d are kept", len(n.order), len(n.known))
	}
}
