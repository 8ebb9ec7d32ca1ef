// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"heptapod-paas-runner/internal/secret"
)

const (
	clientTimeout = 10 * time.Second
	maxPage       = 64 << 20
)

// ErrUnreachable: no service answers at the address (exit code 4).
var ErrUnreachable = errors.New("the service can't be reached")

// ClientConfig says which service to ask.
type ClientConfig struct {
	Address   string // host:port, as `listen_address` has it; no host means this computer
	Token     secret.String
	Transport http.RoundTripper // nil = a plain one, without proxy
}

// Client asks a running service.
type Client struct {
	base  string
	token secret.String
	http  *http.Client
}

// NewClient makes a client. It makes no call.
func NewClient(cfg ClientConfig) (*Client, error) {
	host, port, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("address of the service: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	transport := cfg.Transport
	if transport == nil {
		transport = &http.Transport{DisableKeepAlives: true}
	}
	return &Client{
		base: "http://" + net.JoinHostPort(host, port), token: cfg.Token,
		http: &http.Client{
			Transport: transport, Timeout: clientTimeout,
			// The service sends nobody elsewhere: what does is not the service.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Status asks for the whole picture.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	err := c.read(ctx, "/api/v1/status", &out)
	return out, err
}

// Jobs asks for the open jobs.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	var out []Job
	err := c.read(ctx, "/api/v1/jobs", &out)
	return out, err
}

// Job asks for one open job; coordinator may be "" when the id is unique here.
func (c *Client) Job(ctx context.Context, id int64, coordinator string) (Job, error) {
	var out Job
	path := "/api/v1/jobs/" + strconv.FormatInt(id, 10)
	if coordinator != "" {
		path += "?" + url.Values{"coordinator": {coordinator}}.Encode()
	}
	err := c.read(ctx, path, &out)
	return out, err
}

// Instances asks for the instances that are not confirmed absent.
func (c *Client) Instances(ctx context.Context) ([]Instance, error) {
	var out []Instance
	err := c.read(ctx, "/api/v1/instances", &out)
	return out, err
}

// read gets one page. Errors are *Problem when the service said what is wrong, and
// match ErrUnreachable when it said nothing.
func (c *Client) read(ctx context.Context, path string, into any) error {
	return c.send(ctx, http.MethodGet, path, nil, into)
}

// send makes one call; into is nil when no body is expected.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.base, err)
	}
	if !c.token.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is left to lose
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return fmt.Errorf("%w at %s: its answer ends early: %w", ErrUnreachable, c.base, err)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" {
		p := &Problem{}
		if json.Unmarshal(raw, p) == nil && p.Detail != "" {
			return fmt.Errorf("ask %s%s: %w", c.base, path, p)
		}
	}
	if into == nil && resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if resp.StatusCode != http.StatusOK || kind != "application/json" {
		return fmt.Errorf("ask %s%s: %d %s with %q is no answer of this program: is another one listening there?",
			c.base, path, resp.StatusCode, http.StatusText(resp.StatusCode), kind)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("ask %s%s: %w", c.base, path, err)
	}
	return nil
}
