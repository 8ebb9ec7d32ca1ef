// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// callTimeout ends one call whose answer does not come. A trace append that was
	// performed all the same is found out by the next 416.
	callTimeout = 60 * time.Second
	// maxAnswer limits what is read of an answer that the relay reads itself.
	maxAnswer = 1 << 20
)

// coordinator calls the one coordinator, for the one job.
type coordinator struct {
	base      string // without a trailing slash
	job       int64
	token     string
	agent     string // for the relay's own calls
	transport http.RoundTripper
	health    *health
}

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// isDown tells whether an answer says that the coordinator cannot serve now.
func isDown(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// isRefused tells whether an answer says that the job is not ours to change any more.
func isRefused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound
}

// call makes one call, as the relay unless the header says who.
func (c *coordinator) call(caller context.Context, method, path, query string, header http.Header, body []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(caller, callTimeout)
	defer cancel()
	request, err := c.request(ctx, method, path, query, header, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	request.ContentLength = int64(len(body))
	if len(body) == 0 {
		request.Body = http.NoBody
	}
	answer, err := c.transport.RoundTrip(request)
	if err != nil {
		c.failed(caller)
		return reply{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		c.failed(caller)
		return reply{}, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	c.health.answered(answer.StatusCode, answer.Header)
	return reply{status: answer.StatusCode, header: answer.Header, body: text}, nil
}

// failed notes a call without an answer, unless it was the caller who left.
func (c *coordinator) failed(caller context.Context) {
	if caller.Err() == nil {
		c.health.failed()
	}
}

// request builds a call from constants and checked parts only.
func (c *coordinator) request(ctx context.Context, method, path, query string, header http.Header, body io.Reader) (*http.Request, error) {
	url := c.base + path
	if query != "" {
		url += "?" + query
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if header != nil {
		request.Header = header.Clone()
	}
	if _, given := request.Header["User-Agent"]; !given {
		request.Header.Set("User-Agent", c.agent)
	}
	return request, nil
}

func (c *coordinator) tracePath() string {
	return "/api/v4/jobs/" + strconv.FormatInt(c.job, 10) + "/trace"
}

func (c *coordinator) jobPath() string { return "/api/v4/jobs/" + strconv.FormatInt(c.job, 10) }

// appendTrace appends at an offset of the whole trace, in the relay's own name.
func (c *coordinator) appendTrace(ctx context.Context, offset int64, data []byte) (reply, error) {
	header := http.Header{
		"Content-Type":  {"text/plain"},
		"Content-Range": {contentRange(offset, len(data))},
		"Job-Token":     {c.token},
	}
	return c.call(ctx, http.MethodPatch, c.tracePath(), "debug_trace=false", header, data)
}

// probeTrace asks for the trace's size without changing it: a trace is never one
// byte long, so an append there is refused with 416, and that tells.
func (c *coordinator) probeTrace(ctx context.Context) (reply, error) {
	return c.appendTrace(ctx, 1, []byte("\n"))
}

// status asks what the coordinator thinks of the job; "" when it does not tell, as
// for a job that has ended.
func (c *coordinator) status(ctx context.Context) (string, reply, error) {
	r, err := c.call(ctx, http.MethodGet, "/api/v4/job", "", http.Header{"Job-Token": {c.token}}, nil)
	if err != nil || r.status != http.StatusOK {
		return "", r, err
	}
	var job struct {
		ID     int64  `json:"id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(r.body, &job); err != nil || (job.ID != 0 && job.ID != c.job) {
		return "", r, nil
	}
	return job.Status, r, nil
}

// retryAfter gives how long an answer asks to wait; 0 when it does not.
func retryAfter(header http.Header, now time.Time) time.Duration {
	wait := time.Duration(0)
	text := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(seconds, 3600)) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	} else if at, err := http.ParseTime(header.Get("RateLimit-ResetTime")); err == nil {
		wait = at.Sub(now)
	}
	return max(0, min(wait, time.Hour))
}

// newTransport reaches the coordinator over HTTP/1.1, with the CA and the client
// certificate that the manager gave along.
func newTransport(s *settings) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: 10 * time.Minute,
		ExpectContinueTimeout: 5 * time.Second,
		IdleConnTimeout:       60 * time.Second,
		MaxIdleConnsPerHost:   4,
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.path(s.CAFile))
		if err != nil {
			return nil, fmt.Errorf("read the coordinator's CA: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("read the coordinator's CA: no certificate in it")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if s.ClientCertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.path(s.ClientCertFile), s.path(s.ClientKeyFile))
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
