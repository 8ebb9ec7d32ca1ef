// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// spec is a job as sim gitlab takes it.
type spec struct {
	Script       []string            `json:"script"`
	BeforeScript []string            `json:"before_script,omitempty"`
	AfterScript  []string            `json:"after_script,omitempty"`
	Variables    map[string]variable `json:"variables,omitempty"`
	Project      string              `json:"project,omitempty"`
}

type variable struct {
	Value  string `json:"value"`
	File   bool   `json:"file,omitempty"`
	Masked bool   `json:"masked,omitempty"`
}

// ciJob is a job as sim gitlab tells it.
type ciJob struct {
	ID            int64      `json:"id"`
	Status        string     `json:"status"`
	FailureReason string     `json:"failure_reason"`
	ExitCode      *int       `json:"exit_code"`
	Trace         string     `json:"trace"`
	QueuedAt      *time.Time `json:"queued_at"`
	AcquiredAt    *time.Time `json:"acquired_at"`
	FirstOutputAt *time.Time `json:"first_output_at"`
	FinishedAt    *time.Time `json:"finished_at"`
}

// application is an application as sim clever tells it.
type application struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Flavor    string     `json:"flavor"`
	State     string     `json:"state"`
	CreatedAt *time.Time `json:"created_at"`
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	DeletedAt *time.Time `json:"deleted_at"`
	VMSeconds float64    `json:"vm_seconds"`
}

// remote is one server, asked over HTTP.
type remote struct {
	url  string
	http *http.Client
}

func newRemote(url string) remote {
	return remote{url: url, http: &http.Client{Timeout: 5 * time.Second}}
}

// call sends a request with a JSON body, unless that is nil, and reads a JSON answer
// into out, unless that is nil.
func (r remote) call(ctx context.Context, method, path string, body, out any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, r.url+path, sent)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(text))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
