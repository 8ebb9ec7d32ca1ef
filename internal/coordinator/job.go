// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"net/http"

	"heptapod-paas-runner/internal/secret"
)

// JobStatus reads the status of the job that owns the token, without touching the
// job. A token dies with its job: fleet.ErrUnauthorized.
func (c *Client) JobStatus(ctx context.Context, token secret.String) (string, error) {
	if token.Empty() {
		return "", errNoJob
	}
	in := call{
		method: http.MethodGet, path: "/job",
		tokenHeader: "Job-Token", token: token, accept: "application/json",
		timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK || a.html() {
		return "", in.refused(a)
	}
	var body struct {
		Status string `json:"status"`
	}
	if a.bodyErr != nil {
		return "", in.unusable("its body is cut: %w", a.bodyErr)
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return "", in.unusable("its body is not the JSON of a job: %s", jsonFault(err))
	}
	if body.Status == "" {
		return "", in.unusable("its body says no status")
	}
	return body.Status, nil
}
