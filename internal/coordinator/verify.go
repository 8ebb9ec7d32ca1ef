// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// VerifyAnswer is what a coordinator says of a runner whose token it knows.
type VerifyAnswer struct {
	ID        int64     // 0: not said, as by coordinators of before 15.0
	ExpiresAt time.Time // when the token ends; zero: never, or not said
}

type verifyBody struct {
	Token    string `json:"token"`
	SystemID string `json:"system_id,omitempty"`
	Info     *info  `json:"info,omitempty"`
}

// Verify asks whether the coordinator knows a runner's token: fleet.ErrUnauthorized when it
// does not. Repeatable. A coordinator records who asks: it makes a record of a runner
// manager for a systemID that it has not seen with this runner, one named "<legacy>" when
// systemID is empty. Ask Discover when that must not be. With a systemID, what this
// program can do goes along, since a coordinator keeps what it is told first for up to an hour.
func (c *Client) Verify(ctx context.Context, token secret.String, systemID string) (VerifyAnswer, error) {
	if token.Empty() {
		return VerifyAnswer{}, errNoRunner
	}
	body := verifyBody{Token: token.Reveal(), SystemID: systemID}
	if systemID != "" {
		body.Info = &c.info
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return VerifyAnswer{}, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	in := call{
		method: http.MethodPost, path: "/runners/verify",
		tokenHeader: "Runner-Token", token: token,
		contentType: "application/json", accept: "application/json", body: raw,
		timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return VerifyAnswer{}, err
	}
	if a.status != http.StatusOK || a.html() {
		return VerifyAnswer{}, in.refused(a)
	}
	return in.verified(a)
}

// verified reads the answer to Verify. Old coordinators say just 200, as plain text.
func (in call) verified(a *answer) (VerifyAnswer, error) {
	if a.bodyErr != nil {
		return VerifyAnswer{}, in.unusable("its body is cut: %w", a.bodyErr)
	}
	if text := string(bytes.Trim(a.body, "\" \r\n")); text == "" || text == "200" {
		return VerifyAnswer{}, nil
	}
	var body struct {
		ID        int64      `json:"id"`
		ExpiresAt *time.Time `json:"token_expires_at"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return VerifyAnswer{}, in.unusable("its body is not the JSON of a runner: %s", jsonFault(err))
	}
	return VerifyAnswer{ID: max(body.ID, 0), ExpiresAt: orZero(body.ExpiresAt)}, nil
}

// Discover asks whether the coordinator knows a runner's token, and leaves no trace of the
// question there (GET /runners/router/discovery; what it is meant for is of no use here).
// known is false when the coordinator is too old to say (before 18.8): ask Verify then.
// fleet.ErrUnauthorized when the token is not known.
func (c *Client) Discover(ctx context.Context, token secret.String) (known bool, err error) {
	if token.Empty() {
		return false, errNoRunner
	}
	in := call{
		method: http.MethodGet, path: "/runners/router/discovery",
		tokenHeader: "Runner-Token", token: token, accept: "application/json",
		timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	switch {
	case err != nil:
		return false, err
	case a.html():
		return false, in.refused(a)
	case a.status == http.StatusOK, a.status == http.StatusNotImplemented: // 501: known, and no router
		return true, nil
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed:
		return false, nil
	}
	return false, in.refused(a)
}

var errNoRunner = &fleet.CallError{Class: fleet.Permanent, Err: errors.New("coordinator call without a runner's token")}
