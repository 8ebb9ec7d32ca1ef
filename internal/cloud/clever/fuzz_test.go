// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"heptapod-paas-runner/internal/secret"
)

// FuzzRefusal: whatever a platform refuses with, what is told of it is one short line
// without our credential, and it is taken for the platform's own only if it is JSON with a
// message.
func FuzzRefusal(f *testing.F) {
	for _, s := range []string{
		`{"id":4004,"message":"The application does not exist","type":"error"}`, `{"code":"x","error":"y","context":{"f":1}}`,
		`{"id":1,"message":"<html><head><title>t</title></head>x y-credential\r\n</html>","fields":{"env":["bad"]}}`,
		`{"id":null,"message":"\u202e","type":7,"fields":[]}`, `[]`, `null`, `"x"`, `{`, "", "<html>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		e, own := readRefusal(400, []byte(body), []string{"y-credential"})
		if own && !json.Valid([]byte(body)) || !own && (e.Message != "" || e.ID != 0) {
			t.Errorf("%q: %+v, own: %t", body, e, own)
		}
		if n := utf8.RuneCountInString(e.Message); n > maxMessage+2 || len(e.Message) > maxMessage+8 {
			t.Errorf("%q: a message of %d characters, %d bytes", body, n, len(e.Message))
		}
		if strings.ContainsFunc(e.Message, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%q: %q can't be printed", body, e.Message)
		}
		if strings.Contains(e.Message, "y-credential") && !strings.Contains(secret.Redacted, "y-credential") {
			t.Errorf("%q: %q shows the credential", body, e.Message)
		}
	})
}

// FuzzDate: whatever an end is written as, it is read without an error, and as nothing or as
// a time that a credential may have.
func FuzzDate(f *testing.F) {
	for _, s := range []string{
		`1794996000000`, `1794996000`, `"1794996000000"`, `"2026-11-18T10:00:00Z"`, `"2026-11-18T10:00:00.000+0000"`, `"2026-11-18"`,
		`null`, `"NaN"`, `1e300`, `-1`, `{}`, `[1]`, `"0000-01-01"`, `"x"`, `""`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d date
		if !json.Valid([]byte(text)) {
			return // the decoder never hands it on
		}
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if year := d.Year(); !d.IsZero() && (year < 0 || year > 9999) {
			t.Errorf("%q is read as %s", text, d)
		}
	})
}

// FuzzRetryAfter: whatever a platform asks for, the wait is bounded.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "7", "-1", "99999999999999999999", "Thu, 01 Jan 2026 00:01:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if wait := retryAfter(value); wait < 0 || wait > time.Hour {
			t.Errorf("%q: %v", value, wait)
		}
	})
}
