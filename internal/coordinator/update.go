// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// States that an Update may carry.
const (
	StateRunning = "running" // a touch: the job is alive
	StateSuccess = "success"
	StateFailed  = "failed"
)

// Update is what a job's coordinator is told. FailureReason and ExitCode go with
// StateFailed only.
type Update struct {
	State         string
	FailureReason string
	ExitCode      int
}

// Answer is the answer to an Update: Status 200 is stored; 202 is accepted, but the
// trace is not persisted yet: the same update is to be sent again after Interval.
type Answer struct {
	Status    int
	JobStatus string // what the job is now, "" when not said
	Interval  time.Duration
}

type updateBody struct {
	Token         string `json:"token"`
	State         string `json:"state"`
	FailureReason string `json:"failure_reason,omitempty"`
	ExitCode      int    `json:"exit_code,omitempty"`
	Info          info   `json:"info"`
}

// Update touches a job or ends it. Repeatable. A 403 carries the job's status in
// the StatusError when the job is known and no longer runs. No checksum of the trace
// is sent, since the manager does not know what a sub-runner may have written.
func (c *Client) Update(ctx context.Context, id int64, token secret.String, u Update) (Answer, error) {
	if err := mustJob(id, token); err != nil {
		return Answer{}, err
	}
	body := updateBody{Token: token.Reveal(), State: u.State, Info: c.info}
	if u.State == StateFailed {
		body.FailureReason, body.ExitCode = u.FailureReason, u.ExitCode
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return Answer{}, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	in := call{
		method: http.MethodPut, path: "/jobs/" + strconv.FormatInt(id, 10),
		tokenHeader: "Job-Token", token: token,
		contentType: "application/json", body: raw,
		timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	switch {
	case err != nil:
		return Answer{}, err
	case a.status != http.StatusOK && a.status != http.StatusAccepted:
		return Answer{}, in.refused(a)
	case a.html():
		return Answer{}, in.refused(a)
	}
	return Answer{Status: a.status, JobStatus: jobStatus(a.header), Interval: interval(a.header)}, nil
}
