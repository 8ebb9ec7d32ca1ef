// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// gitSays answers with these pkt-lines, whatever is asked.
type gitSays struct{ refs, result string }

// RoundTrip implements http.RoundTripper.
func (g gitSays) RoundTrip(r *http.Request) (*http.Response, error) {
	service, kind, body := "git-upload-pack", "advertisement", g.refs
	if strings.Contains(r.URL.String(), "receive-pack") {
		service = "git-receive-pack"
	}
	if r.Method == http.MethodPost {
		kind, body = "result", g.result
		_, _ = io.Copy(io.Discard, r.Body)
	}
	header := http.Header{"Content-Type": {"application/x-" + service + "-" + kind}}
	return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// FuzzPktLines: whatever lines a server sends, there is an end, no error shows the password
// or drives a terminal, and a push succeeds only by the report that says so.
func FuzzPktLines(f *testing.F) {
	const hash = "0123456789012345678901234567890123456789"
	for _, refs := range []string{
		"001f# service=git-receive-pack\n00000000", "001e# service=git-upload-pack\n0000003d" + hash + " refs/heads/master\n0000",
		"001f# service=git-receive-pack\n0000" + "0053" + strings.Repeat("0", 40) + " capabilities^{}\x00report-status side-band-64k\n0000", "ffff", "0004", "zzzz", "",
	} {
		f.Add(refs, "000eunpack ok\n0019ok refs/heads/master\n0000")
		f.Add(refs, "0030ng refs/heads/master SECRET-password\x1b[31m\n0000")
		f.Add(refs, "0030ng refs/heads/master SECRET-passwor\xe4\x1b[31m\n0000")
		f.Add(refs, "PACK\x00\x00\x00\x02\x00\x00\x00\x00")
	}
	f.Add("001f#`service=git-receive-pack\n00000053"+strings.Repeat("0", 40)+" capabilities^{}\x00report-status side00000000", "0030ng refs/heads/master SECRET-passwor\xe4\x1b[31m\n0000")
	f.Fuzz(func(t *testing.T, refs, result string) {
		target := Target{URL: "https://git.example/a.git", User: "u", Password: secret.New("SECRET-password"), HTTP: &http.Client{Transport: gitSays{refs, result}}}
		pushed := Push(t.Context(), target, "master", []fleet.File{{Path: "a"}}, "m")
		if pushed == nil && !strings.Contains(result, "unpack ok") {
			t.Errorf("%q is taken for a success", result)
		}
		_, _, read := Head(t.Context(), target, "master")
		_, fetched := Fetch(t.Context(), target, "master")
		for _, err := range []error{pushed, read, fetched} {
			if err != nil && (strings.Contains(err.Error(), "SECRET-password") || strings.ContainsFunc(err.Error(), unprintable) || !errors.As(err, new(*fleet.CallError))) {
				t.Errorf("%q", err)
			}
		}
	})
}

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }

// FuzzRetryAfter: whatever a server asks for, the wait is bounded.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, value := range []string{"", "7", "-1", "99999999999999999999", "1e9", "Thu, 01 Jan 2026 00:01:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 0001 00:00:00 GMT", "\x00"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if wait := retryAfter(value, now); wait < 0 || wait > 24*time.Hour {
			t.Errorf("%q: %v", value, wait)
		}
	})
}
