// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

const key = "hpd-job-abcdefghij-1"

// pretender makes a provisioner whose engine is a handler.
func pretender(t *testing.T, h http.HandlerFunc) *Provisioner {
	t.Helper()
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		h(w, r)
	}))
	t.Cleanup(engine.Close)
	auth := base64.StdEncoding.EncodeToString([]byte("user:CANARY-registry"))
	p, err := New(Config{Host: "tcp://" + engine.Listener.Addr().String(), Image: "registry.example/runner:1", PullPolicy: PullAlways}, Deps{Getenv: func(name string) string {
		return map[string]string{"DOCKER_AUTH_CONFIG": `{"auths":{"registry.example":{"auth":"` + auth + `"}}}`}[name]
	}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// everything calls the engine in every way there is.
func everything(t *testing.T, p *Provisioner) map[string]error {
	t.Helper()
	ref := cloud.Ref{Key: key}
	_, list := p.List(t.Context(), ref.Tenant, "abcdefghij")
	_, inspect := p.Inspect(t.Context(), ref)
	_, create := p.Create(t.Context(), cloud.Spec{Key: key})
	_, recovered := p.Recover(t.Context(), ref)
	return map[string]error{
		"list": list, "inspect": inspect, "create": create, "recover": recovered, "check": p.Check(t.Context(), ref.Tenant),
		"start": p.Start(t.Context(), ref, nil), "destroy": p.Destroy(t.Context(), ref),
	}
}

// The registry's credential goes along when an image is pulled: to the engine only.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 303, 307, 308} {
		var reached atomic.Int32
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
		p := pretender(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+r.URL.Path, code) })
		for what, err := range everything(t, p) {
			if err == nil || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%s, %d: %v", what, code, err)
			}
		}
		if n := reached.Load(); n != 0 {
			t.Errorf("%d: %d redirects were followed", code, n)
		}
		elsewhere.Close()
	}
}

// An engine that never ends its answers, or its headers, is given up.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"a list without end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			page := strings.Repeat(`{"Names":["/x"],"Image":"`+strings.Repeat("y", 4<<10)+`"},`, 256)
			_, _ = io.WriteString(w, "[")
			for range 3 * maxAnswer / len(page) { // it has an end, or the test would have none
				if _, err := io.WriteString(w, page); err != nil {
					return
				}
			}
			_, _ = io.WriteString(w, "{}]")
		},
		"headers without end": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 1000 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("y", 4<<10))
			}
		},
	} {
		_, err := pretender(t, h).List(t.Context(), cloud.Tenant{}, "abcdefghij")
		if err == nil || !strings.Contains(err.Error(), "too large") && !strings.Contains(err.Error(), "exceeded") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheEnginesWordsAreMadeHarmless(t *testing.T) {
	t.Parallel()
	p := pretender(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "\x1b[31mno\r\nsection_start:1:x\r\x1b[0Kspace\u202e" + strings.Repeat("x", 5000)})
	})
	err := p.call(t.Context(), "ask", func(ctx context.Context) error {
		_, err := p.docker.Info(ctx, client.InfoOptions{})
		return err
	})
	if text := fleet.UserTextOf(err); strings.ContainsAny(text, "\x1b\r\n\u202e") || len(text) > 400 || !strings.Contains(text, "no section_start:1:x") {
		t.Errorf("the user is told %q", text)
	}
}

// holes is an archive of some kilobytes with a file of a terabyte without content.
func holes(t testing.TB) []byte {
	t.Helper()
	var about bytes.Buffer
	for _, record := range []string{
		"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=heptapod-runner/job.json", "GNU.sparse.realsize=1099511627776",
	} {
		fmt.Fprintf(&about, "%02d %s\n", len(record)+4, record)
	}
	extended := entry(t, "PaxHeaders.0/job.json", about.Bytes())
	extended[156] = 'x'
	copy(extended[148:156], "        ")
	sum := 0
	for _, b := range extended[:512] {
		sum += int(b)
	}
	copy(extended[148:], fmt.Sprintf("%06o\x00 ", sum))
	pieces := make([]byte, 512)
	copy(pieces, "1\n1099511627776\n0\n") // one, of no length, at the end
	return append(extended, append(entry(t, "heptapod-runner/job.json", pieces), make([]byte, 1024)...)...)
}

// entry is one file of an archive.
func entry(t testing.TB, name string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAnArchiveFullOfHoles(t *testing.T) {
	t.Parallel()
	raw := holes(t)
	header, err := tar.NewReader(bytes.NewReader(raw)).Next()
	if err != nil || header.Size != 1<<40 {
		t.Fatalf("the archive is not what the test is about: %+v, %v", header, err)
	}
	if _, err := unpack(bytes.NewReader(raw)); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := readMost(io.LimitReader(zeros{}, 1<<30), 1<<20); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
