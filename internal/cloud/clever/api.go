// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	maxAnswer = 4 << 20
	// maxList is for the list of all applications: some 10 kB each, unpaged.
	maxList  = 128 << 20
	maxError = 64 << 10
)

// api calls Clever Cloud's API and gives every failure its class.
type api struct {
	base    string
	http    *http.Client
	auth    Authenticator
	timeout time.Duration
}

// request is one API call.
type request struct {
	what   string // what is being done, for errors
	method string
	path   string // below the base, segments escaped; or a whole URL
	query  url.Values
	public bool // needs no authorization
	token  secret.String
	body   any
	limit  int64 // of the answer; 0 = maxAnswer
}

// lost is the class of a call whose answer is not known: reading has no effect.
func (r request) lost() fleet.Class {
	if r.method == http.MethodGet {
		return fleet.Transient
	}
	return fleet.Unknown
}

// fail wraps what went wrong in a class.
func (r request) fail(class fleet.Class, err error) error {
	return &fleet.CallError{Class: class, Err: fmt.Errorf("%s: %s %s: %w", r.what, r.method, r.path, err)}
}

// call sends r and reads the answer into out, unless out is nil.
func (a api) call(ctx context.Context, r request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := a.build(ctx, r)
	if err != nil {
		return &fleet.CallError{Class: fleet.Permanent, UserText: "the credential of the organisation can't be used", Err: fmt.Errorf("%s: %w", r.what, err)}
	}
	res, err := a.http.Do(req)
	if err != nil {
		return r.fail(classOfTransport(r, err), &lostError{bare(err)})
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return refusal(r, res)
	}
	if out == nil {
		return nil
	}
	limit := r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return r.fail(r.lost(), &lostError{fmt.Errorf("read the answer: %w", bare(err))})
	}
	if int64(len(body)) > limit {
		return r.fail(fleet.Unknown, fmt.Errorf("answer of more than %d bytes", limit))
	}
	if err := json.Unmarshal(body, out); err != nil {
		return r.fail(fleet.Unknown, errors.New("the answer is not the JSON that was expected"))
	}
	return nil
}

func (a api) build(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		body = bytes.NewReader(text)
	}
	target := r.path
	if target[0] == '/' {
		target = a.base + target
	}
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, bare(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "heptapod-paas-runner")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.public {
		return req, nil
	}
	if err := a.auth.Authorize(req, r.token); err != nil {
		return nil, err
	}
	return req, nil
}

// lostError is a call that got no answer, or half of one.
type lostError struct{ error }

func (e *lostError) Unwrap() error        { return e.error }
func (e *lostError) Is(target error) bool { return target == fleet.ErrUnreachable }

// classOfTransport: when there was never a connection, or it was not proven to lead to
// the platform, nothing was done.
func classOfTransport(r request, err error) fleet.Class {
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return fleet.Transient
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fleet.Transient
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return fleet.Transient
	}
	return r.lost()
}

// bare takes the URL out of an error of net/http; the request names its path.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
