// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

// What the engine says comes to stand in the job's log, as one short line.
func FuzzEngineMessage(f *testing.F) {
	for _, s := range []string{`{"message":"no\u001b[31m\r\nsection_start:1:x\r\u001b[0K"}`, "plain\n\x9b2J", `{"message":7}`, "", "{\"message\":\"" + strings.Repeat("é", 500) + "\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		said := engineMessage(text)
		if len(said) > longestWords+3 || strings.ContainsFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is told as %q", text, said)
		}
	})
}

// Whatever the payload: what is read of it is a job with a token, and no empty token opens
// anything.
func FuzzParseJob(f *testing.F) {
	for _, s := range []string{`{"id":7,"token":"t","dependencies":[{"id":1,"token":"d"},{"id":2}],"variables":[{"value":"secret","masked":true}]}`, `{"id":-1,"token":""}`, `[]`, `{"dependencies":null,"token":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		j, err := parseJob(raw)
		if err != nil {
			return
		}
		if j.token == "" || strings.Contains(redact("x "+j.token+" y", []string{j.token}), j.token) && !strings.Contains("[redacted]", j.token) && !strings.Contains("x [redacted] y", j.token) {
			t.Errorf("a job with token %q", j.token)
		}
		for id, token := range j.dependencies {
			if token == "" {
				t.Errorf("dependency %d opens without a token", id)
			}
		}
	})
}

// A state that can't be read never lets a job be handed out again.
func FuzzReadState(f *testing.F) {
	for _, s := range []string{`{}`, `{"handed_out":true,"base":7}`, `{"base":-1}`, `{`, "", `{"final":{"state":"success"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, stateFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readState(dir)
		if err != nil || s.Base < 0 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
		if err := s.save(dir); err != nil {
			t.Fatal(err)
		}
		if again, err := readState(dir); err != nil || again.HandedOut != s.HandedOut || again.Base != s.Base {
			t.Errorf("%q: %+v, then %+v, %v", text, s, again, err)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"7", "-7", "99999999999999999999", "Thu, 01 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "x"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, after, reset string) {
		header := http.Header{"Retry-After": {after}, "Ratelimit-Resettime": {reset}, "X-Gitlab-Trace-Update-Interval": {after}}
		if wait := retryAfter(header, time.Now()); wait < 0 || wait > time.Hour {
			t.Errorf("%q: %v", after, wait)
		}
		if wait := interval(header); wait < 0 || wait > 15*time.Minute {
			t.Errorf("%q: %v", after, wait)
		}
	})
}
