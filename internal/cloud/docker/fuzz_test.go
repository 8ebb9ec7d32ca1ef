// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// FuzzArchive: whatever is read back of an instance, it is no more than the files that were
// given, and no larger than the archive may be.
func FuzzArchive(f *testing.F) {
	good, err := pack([]fleet.File{{Path: "job.json", Data: []byte("{}")}, {Path: "paas-relay", Executable: true}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(holes(f))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		files, err := unpack(bytes.NewReader(archive))
		total := 0
		for _, file := range files {
			total += len(file.Data)
		}
		if err != nil && len(files) > 0 || total > maxArchive {
			t.Errorf("%d files, %d bytes, %v", len(files), total, err)
		}
	})
}

// FuzzCredentials: nothing of what is stored for a registry shows in an error.
func FuzzCredentials(f *testing.F) {
	for _, s := range []string{`{"auths":{"https://r.example/v1/":{"auth":"dTpw"}}}`, `{"auths":{"r.example":{"auth":"CANARY!"}}}`, `{"auths":[]}`, `CANARY`, `{"auths":{"r.example":{"username":"CANARY"}}}`} {
		f.Add(s, "r.example")
	}
	f.Fuzz(func(t *testing.T, text, domain string) {
		_, err := credentialFor([]byte(text), domain)
		if err != nil && strings.Contains(err.Error()+fleet.UserTextOf(err), "CANARY") {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// answers gives every call the same answer.
type answers struct {
	status     int
	kind, body string
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	header := http.Header{"Content-Type": {a.kind}, "Api-Version": {"1.44"}}
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswers: whatever an engine answers, there is an end; a sighting carries our key, and
// what the user is told is short and printable.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`[{"Id":"a","Names":["/` + key + `"],"Labels":{"` + KeyLabel + `":"` + key + `","` + RoleLabel + `":"instance"},"State":"running"}]`, `[null]`, `[{}]`, `null`, `{`,
		`{"message":"\u001b[31mno such image \r\nx"}`, `{"OSType":"windows\u001b"}`, `{"status":"x","error":"denied\u009b","errorDetail":{"message":"denied\u009b"}}`,
	} {
		f.Add(200, "application/json", body)
		f.Add(404, "application/json", body)
		f.Add(500, "text/plain", body)
	}
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		if status < 200 || status > 599 {
			return
		}
		p, err := New(Config{Host: "tcp://127.0.0.1:1", Image: "runner:1", PullPolicy: PullAlways}, Deps{Transport: answers{status, kind, body}, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		seen, _ := p.List(t.Context(), cloud.Tenant{}, "abcdefghij")
		for _, s := range seen {
			if !strings.HasPrefix(s.Key, "hpd-job-abcdefghij-") {
				t.Errorf("a sighting of %q", s.Key)
			}
		}
		ref := cloud.Ref{Key: key}
		_, create := p.Create(t.Context(), cloud.Spec{Key: key})
		_, recovered := p.Recover(t.Context(), ref)
		for _, err := range []error{create, recovered, p.Start(t.Context(), ref, nil), p.Check(t.Context(), cloud.Tenant{})} {
			text := fleet.UserTextOf(err)
			if len(text) > 3*longest || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("the user is told %q", text)
			}
		}
	})
}

// FuzzHost: whatever stands in docker.host or DOCKER_HOST, it is refused in one plain line, or
// leads to a socket or to a TCP address.
func FuzzHost(f *testing.F) {
	for _, host := range []string{
		"", "unix:///var/run/docker.sock", "tcp://127.0.0.1:2376", "tcp://[::1]:2376/base", "tcp://user:CANARY@x:1", "ssh://x", "npipe:////./pipe/x", "http://x", "://", "tcp://", "unix://", "tcp://\x1b[31m", "tcp://x:99999", "fd://", "tcp://a b", "unix://\x00", "\r", "x@y",
	} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		p, err := New(Config{Host: host, Image: "runner:1"}, Deps{Transport: answers{500, "text/plain", "x"}, Getenv: func(string) string { return "" }})
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", err)
			}
			return
		}
		if scheme, rest, _ := strings.Cut(p.host, "://"); strings.Contains(rest, "@") || scheme != "unix" && scheme != "tcp" {
			t.Errorf("%q leads to %q", host, p.host)
		}
		if err := p.Check(t.Context(), cloud.Tenant{}); err == nil || strings.ContainsFunc(fleet.UserTextOf(err), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q: %v", host, err)
		}
	})
}
