// SPDX-License-Identifier: Apache-2.0

package memnet

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Transport is an http.RoundTripper that dials on the network.
type Transport struct {
	client *Client
	base   *http.Transport
}

// Transport makes a transport that belongs to the client. It follows no proxy of the
// environment, asks for no compression, and opens a connection per request.
func (c *Client) Transport() *Transport {
	return &Transport{client: c, base: &http.Transport{
		DialContext: c.Dial, DisableKeepAlives: true, DisableCompression: true,
	}}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	n, err := t.client.begin()
	if err == nil {
		err = t.travel(r, n)
	}
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes the body in any case
		}
		return nil, fmt.Errorf("reach %s: %w", r.URL.Host, err)
	}
	resp, err := t.base.RoundTrip(r)
	t.hook(r, n, true)
	if cut := t.client.err(); cut != nil {
		if err == nil {
			_ = resp.Body.Close() // nobody will read it
		}
		return nil, fmt.Errorf("hear from %s: %w", r.URL.Host, cut)
	}
	return resp, err
}

// CloseIdleConnections serves http.Client.CloseIdleConnections; there are none.
func (t *Transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// travel waits out what the network adds to a request.
func (t *Transport) travel(r *http.Request, n int) error {
	t.hook(r, n, false)
	if latency := t.client.network.config.Latency; latency != nil {
		timer := time.NewTimer(latency(r, n))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-t.client.done:
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
	}
	return t.client.err()
}

func (t *Transport) hook(r *http.Request, n int, answered bool) {
	if h := t.client.network.config.Hook; h != nil {
		h(t.client.name, r, n, answered)
	}
}
