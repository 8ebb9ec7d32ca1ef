// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// traffic is what was sent to whom.
type traffic struct {
	mu    sync.Mutex
	calls map[string][]request
}

type request struct{ line, rest string }

// record stands before a server and writes down what is asked of it; it gives its URL.
func (c *traffic) record(t *testing.T, name, target string) string {
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	var own string
	pass := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ErrorLog: log.New(io.Discard, "", 0), // callers that leave
		ModifyResponse: func(r *http.Response) error {
			if !strings.Contains(r.Header.Get("Content-Type"), "json") {
				return nil
			}
			text, err := io.ReadAll(r.Body)
			text = bytes.ReplaceAll(text, []byte(target+"/git/"), []byte(own+"/git/")) // pushes come through here as well
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.mu.Lock()
		if c.calls == nil {
			c.calls = map[string][]request{}
		}
		c.calls[name] = append(c.calls[name], request{r.Method + " " + r.URL.String() + " " + r.UserAgent(), fmt.Sprint(r.Header) + string(body)})
		c.mu.Unlock()
		pass.ServeHTTP(w, r)
	}))
	own = "http://" + s.Listener.Addr().String()
	s.Start()
	t.Cleanup(s.Close)
	return own
}

// calls holds that nobody is told what is for others: the cloud nothing of coordinators, a
// coordinator nothing of clouds; and that no secret is in a line that is logged on the way.
func (n *canary) calls() {
	n.traffic.mu.Lock()
	defer n.traffic.mu.Unlock()
	for _, r := range n.traffic.calls["cloud"] {
		n.lacks("line of a call to the cloud", r.line, n.all())
		n.lacks("call to the cloud", r.rest, n.but(ofCloud()))
	}
	for _, r := range n.traffic.calls["coordinator"] {
		n.lacks("line of a call to the coordinator", r.line, n.all())
		n.lacks("call to the coordinator", r.rest, everywhere(ofCloud(), forwardedSecrets(), map[string]string{
			"listener": nowhere()["listener"], "proxy": nowhere()["proxy"], "client's key": n.key,
		}))
	}
}

// unused are the secrets that nobody was ever shown: those of which the search says nothing.
func (c *traffic) unused(secrets map[string]string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen sieve
	for _, all := range c.calls {
		for _, r := range all {
			seen.lacks("call", r.rest, secrets)
		}
	}
	var out []string
	for name := range secrets {
		if !slices.ContainsFunc(seen.found, func(found string) bool { return strings.HasPrefix(found, "call holds the "+name+":") }) {
			out = append(out, name)
		}
	}
	return out
}
