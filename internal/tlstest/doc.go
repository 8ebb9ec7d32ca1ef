// SPDX-License-Identifier: Apache-2.0

// Package tlstest holds each HTTP client of ours against the same bad servers: whose
// certificate has ended, is another's or is nobody's, and who send the client elsewhere.
// It knows no client; the tests of each bring theirs. The one idea: a server that is not
// proven to be the right one sees no request at all, and a credential is seen by no other
// server than the one it was meant for.
package tlstest

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Client is one of ours as these tests see it.
type Client struct {
	// Call makes every call that carries a credential to the server at a URL, and gives the
	// error of each by name. The folder has ca.pem, the authority to trust, and cert.pem and
	// key.pem, what the client may show of itself.
	Call func(t *testing.T, url, folder string) map[string]error
	// Secrets are all that the calls carry to the right server, and show to nobody else.
	Secrets []string
	// Before answers what comes before a call that is meant, and tells that it did; nil when
	// nothing does.
	Before func(w http.ResponseWriter, r *http.Request) bool
	// Untrusted and Redirected hold what the caller learns: the class, the words. Nil when
	// there is nothing more to hold.
	Untrusted, Redirected func(t *testing.T, call string, err error)
	// HandsOn: a redirect is an answer like any other to this client's callers.
	HandsOn bool
}

// Hold holds a client to all of it.
func Hold(t *testing.T, c Client) {
	t.Helper()
	hold(t, c, NewAuthority(t))
}

// ofSystem names a folder whose authority the system trusts.
const ofSystem = "TLSTEST_OF_SYSTEM"

// HoldBySystem is Hold for a client that trusts whom the system trusts. What the system
// trusts is read once, as the process begins: so the test runs itself again as a process
// whose system is made for it.
func HoldBySystem(t *testing.T, c Client) {
	t.Helper()
	if folder := os.Getenv(ofSystem); folder != "" {
		hold(t, c, read(t, folder))
		return
	}
	folder := NewAuthority(t).keep(t)
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.count=1", "-test.v", "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), ofSystem+"="+folder, "SSL_CERT_FILE="+filepath.Join(folder, "ca.pem"), "SSL_CERT_DIR="+t.TempDir())
	if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func hold(t *testing.T, c Client, ours Authority) {
	t.Helper()
	folder := ours.folder(t)
	t.Run("an authority of one's own", func(t *testing.T) { c.trusts(t, ours, folder) })
	for name, s := range bad(ours, NewAuthority(t)) {
		t.Run(name, func(t *testing.T) { c.refuses(t, s, folder) })
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint("redirect ", status), func(t *testing.T) { c.stays(t, ours, folder, status) })
	}
}

// impostor is a server that is not the right one.
type impostor struct {
	by     Authority
	change func(*x509.Certificate)
	says   string // by the error
}

func bad(ours, others Authority) map[string]impostor {
	return map[string]impostor{
		"a certificate that has ended": {ours, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "expired"},
		"one that has not begun":       {ours, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, "not yet valid"},
		"another address":              {ours, func(c *x509.Certificate) { c.IPAddresses = nil }, "127.0.0.1"},
		"another name":                 {ours, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }, "127.0.0.1"},
		"for clients":                  {ours, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "usage"},
		"an unknown authority":         {others, func(*x509.Certificate) {}, "unknown authority"},
	}
}

// trusts: the right server is spoken to, and sees every secret: or the other tests say nothing.
func (c Client) trusts(t *testing.T, ours Authority, folder string) {
	var seen record
	c.Call(t, ours.serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		seen.add(r)
		if c.Before == nil || !c.Before(w, r) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}), folder)
	text := seen.text()
	for _, s := range c.Secrets {
		if !strings.Contains(text, s) {
			t.Errorf("the right server does not see %q: what is tested here?\n%s", s, text)
		}
	}
}

func (c Client) refuses(t *testing.T, s impostor, folder string) {
	var asked atomic.Int32
	url := s.by.serve(t, s.change, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for call, err := range c.Call(t, url, folder) {
		if err == nil {
			t.Errorf("%s: no error", call)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "certificate") || !strings.Contains(text, s.says) {
			t.Errorf("%s does not say that the certificate is wrong (%q): %v", call, s.says, err)
		}
		c.plain(t, call, err)
		if c.Untrusted != nil {
			c.Untrusted(t, call, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("a server that is not proven to be the right one saw %d requests", n)
	}
}

// stays: whoever the right server points at sees nothing.
func (c Client) stays(t *testing.T, ours Authority, folder string, status int) {
	var elsewhere atomic.Int32
	count := func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }
	for where, to := range map[string]string{
		"another port": ours.serve(t, nil, count), "another host": strings.Replace(ours.serve(t, nil, count), "127.0.0.1", "localhost", 1), "http": plain(t, count),
	} {
		var asked atomic.Int32
		url := ours.serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
			if c.Before != nil && c.Before(w, r) {
				return
			}
			asked.Add(1)
			w.Header().Set("Location", to+r.URL.RequestURI())
			w.WriteHeader(status)
		})
		for call, err := range c.Call(t, url, folder) {
			if err == nil {
				if !c.HandsOn {
					t.Errorf("%s, sent to %s: no error", call, where)
				}
				continue
			}
			c.plain(t, call, err)
			if c.Redirected != nil {
				c.Redirected(t, call, err)
			}
		}
		if asked.Load() == 0 {
			t.Errorf("nothing was asked of the server that points to %s", where)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// plain holds that an error drives no terminal and shows no secret, nor one in disguise.
func (c Client) plain(t *testing.T, call string, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %q", err, err, err)
	if strings.ContainsAny(err.Error(), "\r\t\x1b") {
		t.Errorf("%s: the error is no plain text: %q", call, err)
	}
	for _, s := range c.Secrets {
		if strings.Contains(text, s) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(s))) {
			t.Errorf("%s: the error shows %q: %v", call, s, err)
		}
	}
}

// record keeps requests as they came, and what is encoded in them.
type record struct {
	mu  sync.Mutex
	all strings.Builder
}

func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.String()
}

func (r *record) add(in *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	raw, _ := httputil.DumpRequest(in, true) // half a request is kept as well
	r.all.Write(raw)
	if user, password, ok := in.BasicAuth(); ok {
		fmt.Fprintln(&r.all, user+":"+password)
	}
	for _, values := range in.Header {
		for _, v := range values {
			if plain, err := base64.URLEncoding.DecodeString(v); err == nil {
				fmt.Fprintf(&r.all, "%s\n", plain)
			}
		}
	}
}
