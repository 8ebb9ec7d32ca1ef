// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Audit is what the clouds show beside what the ledger says, as /api/v1/audit gives it.
type Audit struct {
	At          time.Time    `json:"at"`
	ProvenAt    *time.Time   `json:"proven_at"` // the oldest list compared; null = a cloud never answered
	Unexplained int          `json:"unexplained"`
	Entries     []AuditEntry `json:"entries"`
	Problems    []string     `json:"problems"`
	Fuse        string       `json:"fuse"`
}

// AuditEntry is one resource with its verdict.
type AuditEntry struct {
	Key       string `json:"key"`
	Tenant    string `json:"tenant"`
	Namespace string `json:"namespace"`
	JobID     int64  `json:"job_id"` // 0 = none
	Cloud     string `json:"cloud"`  // created, alive, ended; "" = not shown
	Ledger    string `json:"ledger"` // the state of its record; "" = none
	Flavor    string `json:"flavor"`
	Weight    string `json:"weight"`
	Verdict   string `json:"verdict"`
	Explained bool   `json:"explained"`
}

// ErrNotKept is what a Source returns from Forget for an instance that is not kept.
var ErrNotKept = errors.New("no kept instance has this key")

// Keyed is the body of a call about one instance.
type Keyed struct {
	Key string `json:"key"`
}

func (s *Server) audit(w http.ResponseWriter, _ *http.Request) {
	found, err := s.source.Audit()
	if err != nil {
		problem(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	found.Entries, found.Problems = list(found.Entries), list(found.Problems)
	answer(w, http.StatusOK, found)
}

func (s *Server) release(w http.ResponseWriter, _ *http.Request) { done(w, s.source.Release()) }

func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	var body Keyed
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxNotice)).Decode(&body); err != nil || body.Key == "" {
		problem(w, http.StatusBadRequest, `want {"key"}`)
		return
	}
	done(w, s.source.Forget(body.Key))
}

// done answers a call that changes something.
func done(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrNotKept):
		problem(w, http.StatusNotFound, err.Error())
	case err != nil:
		problem(w, http.StatusServiceUnavailable, err.Error())
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// Audit asks for the comparison of clouds and ledger.
func (c *Client) Audit(ctx context.Context) (Audit, error) {
	var out Audit
	err := c.read(ctx, "/api/v1/audit", &out)
	return out, err
}

// Release lets unrecorded instances be destroyed again after a fuse was blown.
func (c *Client) Release(ctx context.Context) error {
	return c.send(ctx, http.MethodPost, "/api/v1/audit/release", nil, nil)
}

// Forget ends the care for a kept instance.
func (c *Client) Forget(ctx context.Context, key string) error {
	body, err := json.Marshal(Keyed{Key: key})
	if err != nil {
		return err
	}
	return c.send(ctx, http.MethodPost, "/api/v1/audit/forget", bytes.NewReader(body), nil)
}
