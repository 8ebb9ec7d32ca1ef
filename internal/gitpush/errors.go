// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"heptapod-paas-runner/internal/fleet"
)

const quoteLimit = 200

func permanent(err error) error { return &fleet.CallError{Class: fleet.Permanent, Err: err} }
func transient(err error) error { return &fleet.CallError{Class: fleet.Transient, Err: err} }
func unknown(err error) error   { return &fleet.CallError{Class: fleet.Unknown, Err: err} }

// errExists: somebody, perhaps we before a crash, has created the branch.
func errExists() error {
	return permanent(fmt.Errorf("the branch exists: %w", fleet.ErrAlreadyStarted))
}

// explain gives a failed exchange its class. What the guard saw is closer to the truth
// than what go-git made of it.
func (c *connection) explain(ctx context.Context, err error) error {
	if seen := c.guard.failure(); seen != nil {
		err = seen
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	err = c.redact(err)
	if e, ok := errors.AsType[*statusError](err); ok {
		return c.explainStatus(e)
	}
	if c.guard.packLeft() {
		return unknown(err)
	}
	return transient(err) // nothing was asked for that changes anything
}

func (c *connection) explainStatus(e *statusError) error {
	switch {
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden:
		return permanent(fmt.Errorf("%w: %w", fleet.ErrUnauthorized, e))
	case e.status == http.StatusNotFound:
		return transient(fmt.Errorf("the repository is not ready: %w", e))
	case e.status == http.StatusTooManyRequests:
		return &fleet.CallError{Class: fleet.Transient, RetryAfter: e.retryAfter, Err: e}
	case e.status >= 500, e.status == http.StatusRequestTimeout, e.status == http.StatusConflict, e.status == http.StatusTooEarly:
		class := fleet.Transient
		if c.guard.packLeft() {
			class = fleet.Unknown
		}
		return &fleet.CallError{Class: class, RetryAfter: e.retryAfter, Err: e}
	case e.status >= 300 && e.status < 400:
		return permanent(fmt.Errorf("redirects are not followed: %w", e))
	default:
		return permanent(e)
	}
}

// redact keeps the password, and what could drive a terminal, out of an error that quotes
// what the server said.
func (c *connection) redact(err error) error {
	text := err.Error()
	secret := c.password != "" && strings.Contains(text, c.password)
	if secret || strings.ContainsFunc(text, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return errors.New(c.quote(text))
	}
	return err
}

// quote shows a server's words: short, printable and without the password.
func (c *connection) quote(text string) string {
	if c.password != "" {
		text = strings.ReplaceAll(text, c.password, "[redacted]")
	}
	if len(text) > quoteLimit {
		text = text[:quoteLimit] + "…"
	}
	return strconv.Quote(text)
}
