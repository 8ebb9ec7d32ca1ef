// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// RunnerManager is one program that uses a runner's registration.
type RunnerManager struct {
	SystemID    string
	Version     string
	Address     string
	CreatedAt   time.Time
	ContactedAt time.Time // zero: not said
}

// Managers lists the programs that use a runner (GET /runners/:id/managers). The token is
// that of somebody who may see the runner: its owner or an administrator. fleet.ErrNotFound
// for coordinators of before 16.0, which know of none.
func (c *Client) Managers(ctx context.Context, runner int64, token secret.String) ([]RunnerManager, error) {
	if runner <= 0 || token.Empty() {
		return nil, errNoRunner
	}
	var list []struct {
		SystemID    string     `json:"system_id"`
		Version     string     `json:"version"`
		Address     string     `json:"ip_address"`
		CreatedAt   *time.Time `json:"created_at"`
		ContactedAt *time.Time `json:"contacted_at"`
	}
	if _, err := c.read(ctx, "/runners/"+strconv.FormatInt(runner, 10)+"/managers?per_page=100", token, &list); err != nil {
		return nil, err
	}
	out := make([]RunnerManager, 0, len(list))
	for _, m := range list {
		out = append(out, RunnerManager{
			SystemID: m.SystemID, Version: m.Version, Address: m.Address,
			CreatedAt: orZero(m.CreatedAt), ContactedAt: orZero(m.ContactedAt),
		})
	}
	return out, nil
}

// TokenInfo is what a coordinator says of somebody's own token.
type TokenInfo struct {
	Name      string
	Scopes    []string  // empty: not said
	ExpiresAt time.Time // zero: never, or not said
}

// TokenInfo asks what a personal, group or project access token is good for (GET
// /personal_access_tokens/self, since 15.5). Where that is not told, it only finds out whether the
// token is known. fleet.ErrUnauthorized when it is not.
func (c *Client) TokenInfo(ctx context.Context, token secret.String) (TokenInfo, error) {
	var own struct {
		Name      string   `json:"name"`
		Scopes    []string `json:"scopes"`
		ExpiresAt string   `json:"expires_at"` // a day
	}
	_, err := c.read(ctx, "/personal_access_tokens/self", token, &own)
	if status := statusOf(err); status == http.StatusForbidden || status == http.StatusNotFound {
		return TokenInfo{}, c.knows(ctx, token)
	}
	if err != nil {
		return TokenInfo{}, err
	}
	out := TokenInfo{Name: own.Name, Scopes: own.Scopes}
	if day, err := time.Parse(time.DateOnly, own.ExpiresAt); err == nil {
		out.ExpiresAt = day
	}
	return out, nil
}

// knows asks for the job of a token that is no job's: 404 tells that somebody is there.
func (c *Client) knows(ctx context.Context, token secret.String) error {
	_, err := c.read(ctx, "/job", token, &struct{}{})
	if statusOf(err) == http.StatusNotFound && errors.Is(err, fleet.ErrNotFound) {
		return nil
	}
	return err
}

// statusOf gives the status of an answer that was not the one hoped for; 0 without one.
func statusOf(err error) int {
	if e, ok := errors.AsType[*StatusError](err); ok && !e.Foreign {
		return e.Status
	}
	return 0
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
