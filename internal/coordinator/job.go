// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"net/http"

	"heptapod-paas-runner/internal/secret"
)

// JobStatus reads the status of the job that owns the token, without touching the
// job. A token dies with its job: fleet.ErrUnauthorized. The address is the same for all jobs,
// so an answer about another job than id is none.
func (c *Client) JobStatus(ctx context.Context, id int64, token secret.String) (string, error) {
	if err := mustJob(id, token); err != nil {
		return "", err
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
		ID     int64  `json:"id"`
		Status string `json:"status"`
	}
	if a.bodyErr != nil {
		return "", in.unusable("its body is cut: %w", a.bodyErr)
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return "", in.unusable("its body is not the JSON of a job: %s", jsonFault(err))
	}
	if body.ID != 0 && body.ID != id {
		return "", in.unusable("it is about another job")
	}
	if body.Status == "" {
		return "", in.unusable("its body says no status")
	}
	return body.Status, nil
}
