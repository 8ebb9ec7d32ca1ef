// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Registration is a runner to be made with a registration token, the way of before
// GitLab 16. A pointer that is nil leaves the choice to the coordinator.
type Registration struct {
	Token           secret.String // the registration token
	Description     string
	MaintenanceNote string
	Tags            []string
	RunUntagged     *bool
	Locked          *bool
	Paused          bool
	AccessLevel     string // not_protected, ref_protected; "" = the coordinator's choice
	MaximumTimeout  int    // seconds; 0 = none
}

// Registered is a runner that was made.
type Registered struct {
	ID        int64         // 0: not said
	Token     secret.String // its authentication token
	ExpiresAt time.Time     // when the token ends; zero: never, or not said
}

type registerBody struct {
	Token           string `json:"token"`
	Description     string `json:"description,omitempty"`
	MaintenanceNote string `json:"maintenance_note,omitempty"`
	TagList         string `json:"tag_list,omitempty"`
	RunUntagged     *bool  `json:"run_untagged,omitempty"`
	Locked          *bool  `json:"locked,omitempty"`
	Paused          bool   `json:"paused"`
	AccessLevel     string `json:"access_level,omitempty"`
	MaximumTimeout  int    `json:"maximum_timeout,omitempty"`
	Info            info   `json:"info"`
}

// Register makes a runner. It is not repeatable: an error of class unknown means that
// there may be one now whose token nobody knows.
func (c *Client) Register(ctx context.Context, r Registration) (Registered, error) {
	if r.Token.Empty() {
		return Registered{}, errNoRunner
	}
	raw, err := json.Marshal(registerBody{
		Token: r.Token.Reveal(), Description: r.Description, MaintenanceNote: r.MaintenanceNote,
		TagList: strings.Join(r.Tags, ","), RunUntagged: r.RunUntagged, Locked: r.Locked, Paused: r.Paused,
		AccessLevel: r.AccessLevel, MaximumTimeout: r.MaximumTimeout, Info: c.info,
	})
	if err != nil {
		return Registered{}, &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	in := c.runnerCall(http.MethodPost, "/runners", r.Token, raw)
	in.repeatable = false
	a, err := c.do(ctx, in)
	if err != nil {
		return Registered{}, err
	}
	if a.status != http.StatusCreated {
		return Registered{}, in.refused(a)
	}
	return in.registered(a)
}

// registered reads the answer to Register.
func (in call) registered(a *answer) (Registered, error) {
	if a.bodyErr != nil {
		return Registered{}, in.unusable("a 201 whose body is cut: %w", a.bodyErr)
	}
	var body struct {
		ID        int64      `json:"id"`
		Token     string     `json:"token"`
		ExpiresAt *time.Time `json:"token_expires_at"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return Registered{}, in.unusable("a 201 whose body is not the JSON of a runner: %s", jsonFault(err))
	}
	if body.Token == "" {
		return Registered{}, in.unusable("a 201 without the runner's token")
	}
	out := Registered{ID: max(body.ID, 0), Token: secret.New(body.Token)}
	if body.ExpiresAt != nil {
		out.ExpiresAt = *body.ExpiresAt
	}
	return out, nil
}

// Unregister deletes a runner, for everybody who uses its token. fleet.ErrUnauthorized
// when there is none with this token (any more).
func (c *Client) Unregister(ctx context.Context, token secret.String) error {
	return c.remove(ctx, "/runners", token, "")
}

// ForgetManager deletes what the coordinator keeps of one machine that used a runner's
// token, as Verify makes it; the runner stays. fleet.ErrNotFound when it keeps nothing, or
// is of before GitLab 16.
func (c *Client) ForgetManager(ctx context.Context, token secret.String, systemID string) error {
	if systemID == "" {
		return errNoRunner
	}
	return c.remove(ctx, "/runners/managers", token, systemID)
}

func (c *Client) remove(ctx context.Context, path string, token secret.String, systemID string) error {
	if token.Empty() {
		return errNoRunner
	}
	raw, err := json.Marshal(verifyBody{Token: token.Reveal(), SystemID: systemID})
	if err != nil {
		return &fleet.CallError{Class: fleet.Permanent, Err: err}
	}
	in := c.runnerCall(http.MethodDelete, path, token, raw)
	a, err := c.do(ctx, in)
	if err != nil {
		return err
	}
	if a.status != http.StatusNoContent && a.status != http.StatusOK || a.html() {
		return in.refused(a)
	}
	return nil
}

// runnerCall is a call that a runner makes for itself.
func (c *Client) runnerCall(method, path string, token secret.String, body []byte) call {
	return call{
		method: method, path: path, tokenHeader: "Runner-Token", token: token,
		contentType: "application/json", accept: "application/json", body: body,
		timeout: c.callTimeout, repeatable: true,
	}
}
