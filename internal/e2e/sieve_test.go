// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// sieve looks for secrets in what leaves the process, and keeps what it found.
type sieve struct {
	found []string
	seen  map[string]int // places by kind: one that nothing was ever read of holds nothing
}

// lacks holds I7 over one text.
func (s *sieve) lacks(where, text string, secrets map[string]string) {
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	kind, _, _ := strings.Cut(where, ": ")
	s.seen[kind] += len(text)
	for name, value := range secrets {
		for _, form := range disguises(value) {
			for from := 0; ; {
				i := strings.Index(text[from:], form)
				if i < 0 {
					break
				}
				i += from
				s.found = append(s.found, fmt.Sprintf("%s holds the %s: …%s…", where, name, text[max(0, i-80):min(len(text), i+len(form)+20)]))
				from = i + len(form)
			}
		}
	}
}

// disguises are the forms in which a secret can be read: as it is, in a URL, in hexadecimal
// and in the middle of something in base64.
func disguises(value string) []string {
	out := []string{value, url.QueryEscape(value), url.PathEscape(value), hex.EncodeToString([]byte(value))}
	if len(value) < 8 {
		return slices.Compact(out)
	}
	for shift := range 3 { // what comes before it moves it by so many bytes
		padded := append(make([]byte, shift), value...)
		whole := base64.RawStdEncoding.EncodeToString(padded[:len(padded)/3*3])
		whole = whole[map[int]int{0: 0, 1: 2, 2: 3}[shift]:] // the first characters hold a part of the padding
		out = append(out, whole, strings.NewReplacer("+", "-", "/", "_").Replace(whole))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestDisguises(t *testing.T) {
	t.Parallel()
	const value = "CANARY/secret+of&ours"
	for what, text := range map[string]string{
		"plain": "x" + value + "y", "query": url.QueryEscape("a" + value + "b"), "path": url.PathEscape(value), "hex": hex.EncodeToString([]byte("q" + value)),
		"base64": base64.StdEncoding.EncodeToString([]byte(value)), "basic": base64.StdEncoding.EncodeToString([]byte("user:" + value)),
		"basic of another user": base64.StdEncoding.EncodeToString([]byte("users:" + value + ":more")), "base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte("ab" + value)),
	} {
		var s sieve
		if s.lacks("here", text, map[string]string{"secret": value}); len(s.found) != 1 {
			t.Errorf("%s: found %q in %q", what, s.found, text)
		}
	}
	var s sieve
	if s.lacks("here", strings.ToUpper(value)+base64.StdEncoding.EncodeToString([]byte("CANARY/secre")), map[string]string{"secret": value}); len(s.found) != 0 {
		t.Errorf("found %q", s.found)
	}
}

// everywhere joins secrets.
func everywhere(sets ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, set := range sets {
		maps.Copy(out, set)
	}
	return out
}
