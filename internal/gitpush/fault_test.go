// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// memoryServer serves HTTP over net.Pipe, so that it works in a bubble.
type memoryServer struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryServer(t *testing.T, handler http.Handler) *memoryServer {
	m := &memoryServer{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(m)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return m
}

func (m *memoryServer) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memoryServer) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memoryServer) Addr() net.Addr { return &net.TCPAddr{} }

// target has its own transport; idle connections end with the test.
func (m *memoryServer) target(t *testing.T) Target {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case m.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return Target{URL: "http://git.example/app.git", User: testUser, Password: secret.New(testPassword), HTTP: &http.Client{Transport: transport}}
}

// faulty answers GETs and POSTs as told, and well where nothing is told.
type faulty struct {
	get, post http.HandlerFunc
	good      *goGitServer
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := f.get
	if r.Method == http.MethodPost {
		fault = f.post
	}
	if fault != nil {
		fault(w, r)
		return
	}
	withPassword(f.good).ServeHTTP(w, r)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "http://elsewhere.example"+r.URL.String())
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "your password is "+password)
	}
}

func answer(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

// report answers a push with the given pkt-lines and a flush.
func report(lines ...string) http.HandlerFunc {
	var body strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&body, "%04x%s", len(line)+4, line)
	}
	return answer("application/x-git-receive-pack-result", body.String()+"0000")
}

func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // net/http sees the client leave only after that
	<-r.Context().Done()
}

func TestFaultsHaveTheRightClass(t *testing.T) {
	t.Parallel()
	flood := strings.Repeat("x", reportLimit+advertisedLimit)
	cases := []struct {
		name      string
		get, post http.HandlerFunc
		class     fleet.Class
		is        error
	}{
		{name: "401 at first", get: status(401), class: fleet.Permanent, is: fleet.ErrUnauthorized},
		{name: "403 at first", get: status(403), class: fleet.Permanent, is: fleet.ErrUnauthorized},
		{name: "404: the repository is not ready", get: status(404), class: fleet.Transient},
		{name: "429", get: status(429), class: fleet.Transient},
		{name: "503 at first", get: status(503), class: fleet.Transient},
		{name: "redirect", get: status(302), class: fleet.Permanent},
		{name: "410", get: status(410), class: fleet.Permanent},
		{name: "cut at first", get: cut, class: fleet.Transient},
		{name: "hang at first", get: hang, class: fleet.Transient, is: context.DeadlineExceeded},
		{name: "a portal's page", get: answer("text/html", "<html>welcome"), class: fleet.Transient},
		{name: "git's type, but a page", get: answer("application/x-git-receive-pack-advertisement", "<html>"), class: fleet.Transient},
		{name: "flood at first", get: answer("application/x-git-receive-pack-advertisement", flood), class: fleet.Transient},
		{name: "nothing at first", get: answer("application/x-git-receive-pack-advertisement", ""), class: fleet.Transient},

		{name: "401 at the pack", post: status(401), class: fleet.Permanent, is: fleet.ErrUnauthorized},
		{name: "404 at the pack", post: status(404), class: fleet.Transient},
		{name: "413 at the pack", post: status(413), class: fleet.Permanent},
		{name: "429 at the pack", post: status(429), class: fleet.Transient},
		{name: "307 at the pack", post: status(307), class: fleet.Permanent},
		{name: "500 at the pack", post: status(500), class: fleet.Unknown},
		{name: "502 at the pack", post: status(502), class: fleet.Unknown},
		{name: "cut at the pack", post: cut, class: fleet.Unknown},
		{name: "hang at the pack", post: hang, class: fleet.Unknown, is: context.DeadlineExceeded},
		{name: "a page for a report", post: answer("text/html", "<html>"), class: fleet.Unknown},
		{name: "no report", post: answer("application/x-git-receive-pack-result", ""), class: fleet.Unknown},
		{name: "half a report", post: answer("application/x-git-receive-pack-result", "000eunpack ok\n0017ok refs/heads/mas"), class: fleet.Unknown},
		{name: "no flush", post: answer("application/x-git-receive-pack-result", "000eunpack ok\n"), class: fleet.Unknown},
		{name: "flood for a report", post: answer("application/x-git-receive-pack-result", "000eunpack ok\n"+strings.Repeat("0017ok refs/heads/others", reportLimit/20)), class: fleet.Unknown},
		{name: "not unpacked", post: report("unpack disk full\n", "ng refs/heads/master unpacker error\n"), class: fleet.Transient},
		{name: "only unpacked", post: report("unpack ok\n"), class: fleet.Unknown},
		{name: "another branch", post: report("unpack ok\n", "ok refs/heads/other\n"), class: fleet.Unknown},
		{name: "one branch too many", post: report("unpack ok\n", "ok refs/heads/master\n", "ok refs/heads/other\n"), class: fleet.Unknown},
		{name: "a hook says no", post: report("unpack ok\n", "ng refs/heads/master hook declined "+testPassword+"\n"), class: fleet.Permanent},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handler := &faulty{get: c.get, post: c.post, good: newGoGitServer()}
				target := newMemoryServer(t, handler).target(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := Push(ctx, target, "master", testFiles(), "m")
				if err == nil || fleet.ClassOf(err) != c.class || (c.is != nil && !errors.Is(err, c.is)) {
					t.Errorf("want %v (%v), have %v: %v", c.class, c.is, fleet.ClassOf(err), err)
				}
				if err != nil && strings.Contains(err.Error(), testPassword) {
					t.Errorf("the error shows the password: %v", err)
				}
			})
		})
	}
}

func TestReadsHaveTheRightClass(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		get, post http.HandlerFunc
		class     fleet.Class
	}{
		"401":          {get: status(401), class: fleet.Permanent},
		"404":          {get: status(404), class: fleet.Transient},
		"503":          {get: status(503), class: fleet.Transient},
		"cut":          {get: cut, class: fleet.Transient},
		"pack is cut":  {post: cut, class: fleet.Transient},
		"pack is 500":  {post: status(500), class: fleet.Transient},
		"pack is junk": {post: answer("application/x-git-upload-pack-result", "0008NAK\nPACKjunk"), class: fleet.Permanent},
		"no pack":      {post: answer("application/x-git-upload-pack-result", "0008NAK\n"), class: fleet.Permanent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handler := &faulty{good: newGoGitServer()}
				target := newMemoryServer(t, handler).target(t)
				if err := Push(t.Context(), target, "master", testFiles(), "m"); err != nil {
					t.Fatal(err)
				}
				handler.get, handler.post = c.get, c.post
				if _, err := Fetch(t.Context(), target, "master"); err == nil || fleet.ClassOf(err) != c.class {
					t.Errorf("fetch: want %v, have %v: %v", c.class, fleet.ClassOf(err), err)
				}
				if c.get == nil {
					return
				}
				if _, _, err := Head(t.Context(), target, "master"); err == nil || fleet.ClassOf(err) != c.class {
					t.Errorf("head: want %v, have %v: %v", c.class, fleet.ClassOf(err), err)
				}
			})
		})
	}
}

func TestPushInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := newMemoryServer(t, withPassword(newGoGitServer())).target(t)
		if err := Push(t.Context(), target, "master", testFiles(), "m"); err != nil {
			t.Fatal(err)
		}
		fetched(t, target)
	})
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	target := Target{URL: "http://" + address + "/app.git", HTTP: &http.Client{Transport: &http.Transport{}}}
	err = Push(t.Context(), target, "master", testFiles(), "m")
	if err == nil || fleet.ClassOf(err) != fleet.Transient {
		t.Errorf("%v: %v", fleet.ClassOf(err), err)
	}
}

// The connection is lost after the answer to the first request: the second can't be
// sent, so nothing was done.
func TestConnectionRefusedAtThePack(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(withPassword(newGoGitServer()))
	defer s.Close()
	target := targetOf(s)
	base := s.Client().Transport
	target.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			return nil, errors.New("connection refused")
		}
		return base.RoundTrip(r)
	})}
	if err := Push(t.Context(), target, "master", testFiles(), "m"); err == nil || fleet.ClassOf(err) != fleet.Transient {
		t.Errorf("%v: %v", fleet.ClassOf(err), err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The pack leaves, but the connection breaks in the middle of it.
func TestCutInTheMiddleOfThePack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := newMemoryServer(t, &faulty{good: newGoGitServer(), post: func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 50_000)
			panic(http.ErrAbortHandler)
		}}).target(t)
		files := []fleet.File{{Path: "big", Data: noise(1 << 20)}}
		if err := Push(t.Context(), target, "master", files, "m"); err == nil || fleet.ClassOf(err) != fleet.Unknown {
			t.Errorf("%v: %v", fleet.ClassOf(err), err)
		}
		if _, ok, err := Head(t.Context(), target, "master"); ok || err != nil {
			t.Errorf("half a pack made a branch: %v, %v", ok, err)
		}
	})
}

func TestRedirectsCarryNoCredential(t *testing.T) {
	t.Parallel()
	var reached bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == method {
					http.Redirect(w, r, elsewhere.URL+r.URL.String(), code)
					return
				}
				newGoGitServer().ServeHTTP(w, r)
			}))
			if err := Push(t.Context(), targetOf(s), "master", testFiles(), "m"); fleet.ClassOf(err) != fleet.Permanent {
				t.Errorf("%d to %s: %v", code, method, err)
			}
			s.Close()
		}
	}
	if reached {
		t.Error("a redirect was followed")
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	target := g.target()
	target.Password = secret.New("SECRET-wrong")
	err := Push(t.Context(), target, "master", testFiles(), "m")
	if !errors.Is(err, fleet.ErrUnauthorized) || fleet.ClassOf(err) != fleet.Permanent || strings.Contains(fmt.Sprintf("%+v", err), "SECRET") {
		t.Errorf("%v: %v", fleet.ClassOf(err), err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "junk": 0, "999999999": 24 * time.Hour,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Wed, 31 Dec 2025 00:00:00 GMT": 0, "Fri, 01 Jan 2100 00:00:00 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: want %v, have %v", value, want, got)
		}
	}
}
