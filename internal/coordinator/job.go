// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"heptapod-paas-runner/internal/secret"
)

// Standing is how a job stands at its coordinator.
type Standing struct {
	Status string
	Age    time.Duration // since it was granted, by the coordinator's own clock; 0 = not told
}

// JobStatus reads the status of the job that owns the token, without touching the
// job. A token dies with its job: fleet.ErrUnauthorized. The address is the same for all jobs,
// so an answer about another job than id is none.
func (c *Client) JobStatus(ctx context.Context, id int64, token secret.String) (Standing, error) {
	if err := mustJob(id, token); err != nil {
		return Standing{}, err
	}
	in := call{
		method: http.MethodGet, path: "/job",
		tokenHeader: "Job-Token", token: token, accept: "application/json",
		timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return Standing{}, err
	}
	if a.status != http.StatusOK || a.html() {
		return Standing{}, in.refused(a)
	}
	var body struct {
		ID        int64  `json:"id"`
		Status    string `json:"status"`
		StartedAt string `json:"started_at"`
	}
	if a.bodyErr != nil {
		return Standing{}, in.unusable("its body is cut: %w", a.bodyErr)
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return Standing{}, in.unusable("its body is not the JSON of a job: %s", jsonFault(err))
	}
	if body.ID != 0 && body.ID != id {
		return Standing{}, in.unusable("it is about another job")
	}
	if body.Status == "" {
		return Standing{}, in.unusable("its body says no status")
	}
	return Standing{body.Status, age(a.header, body.StartedAt)}, nil
}

// age is how long ago something was when the answer was given; 0 when that is not told.
func age(h http.Header, since string) time.Duration {
	now, odd := http.ParseTime(h.Get("Date"))
	at, wrong := time.Parse(time.RFC3339, since)
	if odd != nil || wrong != nil {
		return 0
	}
	return max(0, now.Sub(at))
}
