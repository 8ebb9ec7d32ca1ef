// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	program = "heptapod-paas-runner"

	defaultCallTimeout = 30 * time.Second
	defaultPollTimeout = 70 * time.Second // a long poll is held for up to 50 s

	maxPayload = 16 << 20 // bounds a granted job; real ones have some tens of kilobytes
	maxAnswer  = 1 << 20  // bounds the body of every other answer
)

// Config says which coordinator and how to reach it. Only URL is required.
type Config struct {
	URL       string // as configured; brought to fleet.NormalizeURL's form
	Version   string // of this program, reported to the coordinator
	UserAgent string // default: the program's name and Version
	SystemID  string // persistent name of this manager

	// Transport replaces the client's own; the three files are then not read.
	Transport http.RoundTripper
	CAFile    string // certificates trusted besides the system's
	CertFile  string // client certificate and its key
	KeyFile   string

	CallTimeout time.Duration // of each call but the job request; default 30 s
	PollTimeout time.Duration // of a job request; default 70 s
}

// Client talks to one coordinator. It may be used by many goroutines at once.
type Client struct {
	base        string // up to and including /api/v4
	userAgent   string
	systemID    string
	info        info
	http        *http.Client
	callTimeout time.Duration
	pollTimeout time.Duration
}

// New checks the configuration and reads the TLS files. It makes no call.
func New(cfg Config) (*Client, error) {
	base, err := fleet.NormalizeURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	transport := cfg.Transport
	if transport == nil {
		if transport, err = newTransport(cfg); err != nil {
			return nil, fmt.Errorf("coordinator %s: %w", base, err)
		}
	}
	return &Client{
		base:      base + apiPrefix,
		userAgent: cmp.Or(cfg.UserAgent, program+" "+cmp.Or(cfg.Version, "unknown")),
		systemID:  cfg.SystemID,
		info:      newInfo(cfg.Version),
		http: &http.Client{
			Transport: transport,
			// A redirect is an error of the configuration: followed, it would carry a
			// token to a host that nobody named.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		callTimeout: cmp.Or(cfg.CallTimeout, defaultCallTimeout),
		pollTimeout: cmp.Or(cfg.PollTimeout, defaultPollTimeout),
	}, nil
}

const apiPrefix = "/api/v4"

// call is one request as the methods of Client describe it.
type call struct {
	method      string
	path        string // below /api/v4, no query
	tokenHeader string
	token       secret.String
	contentType string
	rangeHeader string // Content-Range
	accept      string // the media type of the body hoped for, "" when none is
	body        []byte

	timeout time.Duration
	// grants is the status whose body is read even if the caller stops waiting, 0 = none.
	grants int
	// repeatable: doing it twice is the same as doing it once.
	repeatable bool
}

// answer is what came back, its body read up to the limit.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	bodyErr error // why the body is not complete
}

// do sends a call and reads the answer. Its error means that no answer came; an
// incomplete body is the answer's bodyErr.
func (c *Client) do(ctx context.Context, in call) (*answer, error) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	clock := time.AfterFunc(in.timeout, func() { cancel(context.DeadlineExceeded) })
	defer clock.Stop()
	unlink := context.AfterFunc(ctx, func() { cancel(ctx.Err()) })
	defer unlink()

	req, err := c.request(work, in)
	if err != nil {
		return nil, &fleet.CallError{Class: fleet.Permanent, Err: in.wrap(err)}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, in.lost(cmp.Or(context.Cause(work), err))
	}
	defer func() { _ = resp.Body.Close() }() // nothing is left to lose
	limit := int64(maxAnswer)
	if in.grants != 0 && resp.StatusCode == in.grants {
		// From here on the job is ours: a caller that gives up must not cost it.
		unlink()
		clock.Reset(c.callTimeout)
		limit = maxPayload
	}
	out := &answer{status: resp.StatusCode, header: resp.Header}
	out.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		out.bodyErr = cmp.Or(context.Cause(work), err)
	case int64(len(out.body)) > limit:
		out.body, out.bodyErr = out.body[:limit], fmt.Errorf("longer than %d bytes", limit)
	}
	return out, nil
}

func (c *Client) request(ctx context.Context, in call) (*http.Request, error) {
	var body io.Reader
	if in.body != nil {
		body = bytes.NewReader(in.body)
	}
	req, err := http.NewRequestWithContext(ctx, in.method, c.base+in.path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set(in.tokenHeader, in.token.Reveal())
	if in.contentType != "" {
		req.Header.Set("Content-Type", in.contentType)
	}
	if in.accept != "" {
		req.Header.Set("Accept", in.accept)
	}
	if in.rangeHeader != "" {
		req.Header.Set("Content-Range", in.rangeHeader)
	}
	return req, nil
}

var errNoJob = &fleet.CallError{Class: fleet.Permanent, Err: errors.New("coordinator call without a job's id and token")}

// mustJob refuses what can't name a job before anything is sent.
func mustJob(id int64, token secret.String) error {
	if id <= 0 || token.Empty() {
		return errNoJob
	}
	return nil
}

// SystemID is the persistent name of this manager, under which the coordinator knows it.
func (c *Client) SystemID() string { return c.systemID }
