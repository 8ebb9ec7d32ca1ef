// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/secret"
)

// A page in the browser of somebody at this computer may send a form to a loopback
// address, and would release the fuse. Browsers say where a request comes from.
func TestPagesOfOthersChangeNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header []string
		want   int
	}{
		"a program":                  {nil, 204},
		"our own page":               {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:9252"}, 204},
		"our own page, old browser":  {[]string{"Origin", "http://127.0.0.1:9252"}, 204},
		"another page":               {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"another page, old browser":  {[]string{"Origin", "https://evil.example"}, 403},
		"a page without origin":      {[]string{"Origin", "null"}, 403},
		"a page at another port":     {[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:8080"}, 403},
		"a name that leads here":     {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example:9252", "Host", "evil.example:9252"}, 403},
		"the same, for all to see":   {[]string{"Sec-Fetch-Site", "same-origin", "Host", "127.0.0.1.evil.example:9252"}, 403},
		"localhost of somebody else": {[]string{"Host", "localhost.evil.example"}, 403},
	} {
		src := &source{status: busy()}
		h := newServer(src, "").Handler()
		release := get(h, "POST", "/api/v1/audit/release", nil, tc.header...)
		forget := get(h, "POST", "/api/v1/audit/forget", strings.NewReader(`{"key":"kept"}`), tc.header...)
		if release.Code != tc.want || forget.Code != tc.want {
			t.Errorf("%s: got %d and %d, want %d", name, release.Code, forget.Code, tc.want)
		}
		if done := src.released + len(src.forgot); done != map[int]int{204: 2, 403: 0}[tc.want] {
			t.Errorf("%s: %d of two things were done", name, done)
		}
	}
}

// Anybody who reaches the listener may send notices; the manager is asked about so many.
func TestNoticesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &source{status: busy()}
		h := newServer(src, readSecret).Handler()
		send := func() (taken, turned int) {
			for range 1000 {
				w := get(h, "POST", "/api/v1/notice", strings.NewReader(`{"key":"`+key+`","event":"booted"}`), "Authorization", "Bearer "+noticeSecret)
				switch w.Code {
				case 204:
					taken++
				case 429:
					turned++
				}
			}
			return taken, turned
		}
		if taken, turned := send(); taken != 100 || turned != 900 || len(src.noticed) != 100 {
			t.Errorf("of 1000 at once %d are taken and %d turned away", taken, turned)
		}
		time.Sleep(time.Second)
		if taken, _ := send(); taken != 50 {
			t.Errorf("%d are taken a second later, want 50", taken)
		}
		if w := get(h, "GET", "/healthz", nil); w.Code != 200 {
			t.Errorf("the listener answers %d", w.Code)
		}
	})
}

// desk is a listener whose connections are made by the test.
type desk struct {
	conns chan net.Conn
	done  chan struct{}
}

func newDesk() *desk { return &desk{conns: make(chan net.Conn), done: make(chan struct{})} }

func (d *desk) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func (d *desk) Close() error   { close(d.done); return nil }
func (d *desk) Addr() net.Addr { return address("192.0.2.1:9252") }

// dial gives the client's end of a connection that comes from there.
func (d *desk) dial(from string) net.Conn {
	client, server := net.Pipe()
	d.conns <- placed{server, address(from)}
	return client
}

type placed struct {
	net.Conn
	from net.Addr
}

func (p placed) RemoteAddr() net.Addr { return p.from }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// serve runs a server on a desk until the test ends.
func serve(t *testing.T, server *api.Server) *desk {
	d := newDesk()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, d) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestConnectionsOfOthersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := serve(t, newServer(&source{status: busy()}, readSecret))
		closed := func(c net.Conn) bool {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			return errors.Is(err, io.EOF)
		}
		var held []net.Conn
		for i := range 300 {
			held = append(held, d.dial(fmt.Sprintf("192.0.2.7:%d", 1000+i)))
		}
		synctest.Wait()
		turned := 0
		for _, c := range held {
			if closed(c) {
				turned++
			}
		}
		if turned != 100 {
			t.Errorf("%d of 300 connections are closed at once, want 100", turned)
		}
		if here := d.dial("127.0.0.1:1"); closed(here) {
			t.Error("this computer is kept out by others")
		}
		_ = held[0].Close()
		time.Sleep(time.Second)
		if next := d.dial("192.0.2.7:1"); closed(next) {
			t.Error("a place that is free again is not given")
		}
	})
}

// A client that is slow with its request, or never reads its answer, is cut.
func TestSlowClientsAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := serve(t, newServer(&source{status: busy()}, readSecret))
		begun := time.Now()
		header := d.dial("192.0.2.7:1")
		_, _ = io.WriteString(header, "GET /healthz HTTP/1.1\r\nHost: x\r\n")
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(header, "X-%d: y\r\n", i); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(begun); took > 12*time.Second {
			t.Errorf("a header that never ends is cut after %v", took)
		}
		begun = time.Now()
		answer := d.dial("192.0.2.7:2")
		_, _ = io.WriteString(answer, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(35 * time.Second)
		if _, err := io.ReadAll(answer); err != nil || time.Since(begun) > 36*time.Second {
			t.Errorf("an answer that nobody reads is cut after %v, %v", time.Since(begun), err)
		}
	})
}

// The token goes to the service and nowhere else.
func TestTheClientFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, code)
		}))
		client, err := api.NewClient(api.ClientConfig{Address: strings.TrimPrefix(here.URL, "http://"), Token: secret.New(readSecret)})
		if err != nil {
			t.Fatal(err)
		}
		_, read := client.Status(t.Context())
		for what, err := range map[string]error{"read": read, "release": client.Release(t.Context()), "forget": client.Forget(t.Context(), key)} {
			if err == nil || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%s, %d: %v", what, code, err)
			}
		}
		here.Close()
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}
