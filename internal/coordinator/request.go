// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// RunnerCall is one job request of one runner.
type RunnerCall struct {
	Token      secret.String
	LastUpdate string // of the last Grant; "" at first
}

// Grant is the answer to a job request. LastUpdate goes into the next one; it is
// set whatever came back, an error included.
type Grant struct {
	Job        *Payload // nil: nothing to do now
	LastUpdate string
}

type requestBody struct {
	Token      string `json:"token"`
	SystemID   string `json:"system_id,omitempty"`
	LastUpdate string `json:"last_update,omitempty"`
	Info       info   `json:"info"`
}

// Request asks for a job. It is not repeatable: an error of class unknown means
// that a job may have been granted. An *UnreadableError means that one was. Once a
// 201 has begun, ctx no longer ends the call; the call timeout does.
func (c *Client) Request(ctx context.Context, rc RunnerCall) (Grant, error) {
	out := Grant{LastUpdate: rc.LastUpdate}
	body, err := json.Marshal(requestBody{
		Token: rc.Token.Reveal(), SystemID: c.systemID, LastUpdate: rc.LastUpdate, Info: c.info,
	})
	if err != nil {
		return out, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	in := call{
		method: http.MethodPost, path: "/jobs/request",
		tokenHeader: "Runner-Token", token: rc.Token,
		contentType: "application/json", accept: "application/json", body: body,
		timeout: c.pollTimeout, grants: http.StatusCreated,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return out, err
	}
	out.LastUpdate = lastUpdate(a.header, rc.LastUpdate)
	switch a.status {
	case http.StatusCreated:
		out.Job, err = in.granted(a)
	case http.StatusNoContent, http.StatusConflict: // 409: somebody else was faster
	default:
		err = in.refused(a)
	}
	return out, err
}

// granted makes a payload of a 201. The content type is not asked about: a job
// that can be read is a job, and it can't be handed back.
func (in call) granted(a *answer) (*Payload, error) {
	p, err := ParsePayload(a.body)
	if err == nil {
		return p, nil // whole, whatever the connection did after its last brace
	}
	if a.bodyErr != nil {
		err = unreadable(a.body, "its body is cut: "+in.scrub(a.bodyErr.Error()))
	}
	if _, ok := errors.AsType[*UnreadableError](err); ok {
		return nil, &fleet.CallError{Class: fleet.Unknown, Err: in.wrap(err)}
	}
	return nil, in.unusable("a 201 without a readable job (%d bytes): %w", len(a.body), err)
}
