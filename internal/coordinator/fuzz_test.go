// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// FuzzParsePayload: whatever comes, there is an answer; an accepted payload is whole
// and within limits, and a job that is named in an error stands in the body.
func FuzzParsePayload(f *testing.F) {
	files, err := filepath.Glob("testdata/payload-*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
	}
	for _, s := range []string{``, `{}`, `{"id":1,"token":"t"}`, `{"id":1,"token":"t","variables":[{}]`, `{"a":[{"id":2}],"token":"t","id":1,`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParsePayload(raw)
		if (p == nil) == (err == nil) {
			t.Fatalf("payload %v, error %v", p, err)
		}
		if p != nil && (p.ID <= 0 || p.Token.Empty() || p.Timeout < 0 || p.Timeout > maxTimeout || !json.Valid(p.Raw)) {
			t.Errorf("%q: accepted as %v with timeout %v", raw, p, p.Timeout)
		}
		u, ok := errors.AsType[*UnreadableError](err)
		if ok && (u.ID <= 0 || u.Token.Empty() || !bytes.Contains(raw, []byte(strconv.FormatInt(u.ID, 10)))) {
			t.Errorf("%q: named job %d", raw, u.ID)
		}
	})
}

// FuzzRange: only what a server prints is read, and it is read back as the same text.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"0-0", "0-700", "0-9223372036854775807", "0-9223372036854775808", "0-07", "0--1", "bytes 0-7", "0-7/8", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		size, ok := parseRange(s)
		if ok && (size < 0 || "0-"+strconv.FormatInt(size, 10) != s) {
			t.Errorf("%q read as %d", s, size)
		}
		if !ok && size != 0 {
			t.Errorf("%q refused with size %d", s, size)
		}
	})
}

// FuzzRetryAfter: whatever a server sends, the wait is between nothing and the limit.
func FuzzRetryAfter(f *testing.F) {
	f.Add("60", "", "")
	f.Add("Fri, 20 Nov 2026 10:01:30 GMT", "", "Fri, 20 Nov 2026 10:00:00 GMT")
	f.Add("1", "Fri, 20 Nov 9999 10:01:30 GMT", "Fri, 20 Nov 0001 10:00:00 GMT")
	f.Add("99999999999999999999", "x", "y")
	f.Fuzz(func(t *testing.T, after, reset, date string) {
		h := http.Header{"Retry-After": {after}, "Ratelimit-Resettime": {reset}, "Date": {date}, "X-Gitlab-Trace-Update-Interval": {after}}
		if d := retryAfter(h); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: wait %v", h, d)
		}
		if d := interval(h); d < 0 || d > maxInterval || d%time.Second != 0 {
			t.Errorf("%q: interval %v", h, d)
		}
	})
}
