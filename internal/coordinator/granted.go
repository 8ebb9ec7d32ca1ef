// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/secret"
)

// maxGrantedPages bounds how many pages of a runner's jobs are read: 100 jobs each.
const maxGrantedPages = 20

// GrantedJob is a running job as somebody sees it who may see its runner.
type GrantedJob struct {
	ID        int64
	Project   string // path
	WebURL    string
	StartedAt time.Time // when it was granted; zero: not said
}

// GrantedJobs lists the jobs that the coordinator says are running on a runner (GET
// /runners/:id/jobs), the newest first. Coordinators that know several managers of a runner
// leave out those of others than systemID, older ones do not: ask GrantedTo. The token is that of
// the runner's owner or of an administrator.
func (c *Client) GrantedJobs(ctx context.Context, runner int64, systemID string, token secret.String) ([]GrantedJob, error) {
	if runner <= 0 || token.Empty() {
		return nil, errNoRunner
	}
	query := url.Values{"status": {"running"}, "order_by": {"id"}, "sort": {"desc"}, "per_page": {"100"}, "system_id": {systemID}}
	var out []GrantedJob
	for page := 1; page <= maxGrantedPages; page++ {
		query.Set("page", strconv.Itoa(page))
		var list []struct {
			ID        int64      `json:"id"`
			WebURL    string     `json:"web_url"`
			StartedAt *time.Time `json:"started_at"`
			Project   struct {
				Path string `json:"path_with_namespace"`
			} `json:"project"`
		}
		next, err := c.read(ctx, "/runners/"+strconv.FormatInt(runner, 10)+"/jobs?"+query.Encode(), token, &list)
		if err != nil {
			return nil, err
		}
		for _, j := range list {
			out = append(out, GrantedJob{ID: j.ID, Project: j.Project.Path, WebURL: j.WebURL, StartedAt: orZero(j.StartedAt)})
		}
		if next == "" || len(list) == 0 {
			break
		}
	}
	return out, nil
}

// GrantedTo says to which manager a job was granted, by its system id, and the job's
// status (GET /projects/:id/jobs/:job_id). systemID is "" where the coordinator is too old to tell.
func (c *Client) GrantedTo(ctx context.Context, project string, id int64, token secret.String) (systemID, status string, err error) {
	path, err := projectJob(project, id, token)
	if err != nil {
		return "", "", err
	}
	var body struct {
		Status  string `json:"status"`
		Manager struct {
			SystemID string `json:"system_id"`
		} `json:"runner_manager"`
	}
	if _, err := c.read(ctx, path, token, &body); err != nil {
		return "", "", err
	}
	return body.Manager.SystemID, body.Status, nil
}

// CancelJob cancels a job as a user could (POST /projects/:id/jobs/:job_id/cancel) and gives its
// status then: canceling, where its runner is waited for, or canceled. With force, a job
// that is canceling is not waited for. The token needs the scope api.
func (c *Client) CancelJob(ctx context.Context, project string, id int64, force bool, token secret.String) (string, error) {
	path, err := projectJob(project, id, token)
	if err != nil {
		return "", err
	}
	path += "/cancel"
	if force {
		path += "?force=true"
	}
	in := call{
		method: http.MethodPost, path: path, tokenHeader: "Private-Token", token: token,
		accept: "application/json", timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusCreated && a.status != http.StatusOK || a.html() {
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
	return body.Status, nil
}

func projectJob(project string, id int64, token secret.String) (string, error) {
	if id <= 0 || token.Empty() || strings.Trim(project, "/") == "" {
		return "", errNoJob
	}
	return "/projects/" + url.PathEscape(project) + "/jobs/" + strconv.FormatInt(id, 10), nil
}
