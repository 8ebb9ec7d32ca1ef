// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"heptapod-paas-runner/internal/secret"
)

// TraceSize reads how long a job's trace is with a token of somebody who may read it
// (GET /projects/:id/jobs/:job_id/trace, gitlab-runner-api.md section 13), the way of
// the Python program. project is the project's path. A trace that is longer than what
// is read of it counts as that long.
func (c *Client) TraceSize(ctx context.Context, project string, id int64, token secret.String) (int64, error) {
	if id <= 0 || token.Empty() || project == "" {
		return 0, errNoJob
	}
	in := call{
		method:      http.MethodGet,
		path:        "/projects/" + url.PathEscape(project) + "/jobs/" + strconv.FormatInt(id, 10) + "/trace",
		tokenHeader: "Private-Token", token: token, accept: "text/plain",
		timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return 0, err
	}
	if a.status != http.StatusOK || a.html() {
		return 0, in.refused(a)
	}
	return int64(len(a.body)), nil
}
