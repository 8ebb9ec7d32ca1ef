// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"heptapod-paas-runner/internal/coordinator"
)

// explain says in one sentence what a failed call means for whoever registers; the
// details stand behind it.
func (r *Registrar) explain(err error, url, token string) error {
	sentence := r.sentence(err, token)
	if sentence == "" {
		return fmt.Errorf("%s: %w", url, err)
	}
	return fmt.Errorf("%s %s (%w)", url, sentence, err)
}

func (r *Registrar) sentence(err error, token string) string {
	if answer, ok := errors.AsType[*coordinator.StatusError](err); ok {
		return answered(answer, token)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "has a certificate that is not trusted here; name its CA with --tls-ca-file"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return "does not speak https there; is it http, or another port?"
	}
	if errors.Is(err, context.Canceled) {
		return "was not waited for"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("gave no answer within %s", r.cfg.CallTimeout)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "has a name that can't be resolved"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "can't be reached"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return "cut the connection"
	}
	return ""
}

// answered is the sentence for an answer.
func answered(a *coordinator.StatusError, token string) string {
	switch {
	case a.Foreign:
		return "answers with a page for people: is the URL right, and is there no login page or proxy in between?"
	case a.Status >= 300 && a.Status < 400:
		return "sends elsewhere; use that URL"
	}
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "does not accept " + token + ": it is mistyped, was reset, or belongs to another server"
	case http.StatusGone:
		return "takes no registration tokens any more: make the runner there (New runner), and register it with its authentication token (glrt-...)"
	case http.StatusUnprocessableEntity:
		return "can't use this runner any more: what it belonged to is gone; make a new one there"
	case http.StatusBadRequest:
		return "does not accept what the runner is to be like"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "is no coordinator, or the URL has too much or too little behind its host"
	case http.StatusTooManyRequests:
		return "asks to try again later"
	}
	if a.Status >= http.StatusInternalServerError {
		return "has trouble of its own; try again later"
	}
	return ""
}
