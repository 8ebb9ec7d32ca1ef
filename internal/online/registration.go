// SPDX-License-Identifier: Apache-2.0

package online

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// online is how long ago a manager was seen that GitLab still calls online.
const online = 2 * time.Hour

// registration asks the coordinator about the runner's token, and about those who use it.
func (q *questions) registration(ctx context.Context, client *coordinator.Client) []Finding {
	begun := time.Now()
	answer, err := q.verify(ctx, client)
	switch {
	case errors.Is(err, fleet.ErrUnauthorized):
		return q.found(Wrong, "token: %s does not know it; register the runner again (%v)", q.runner.Coordinator, err)
	case err != nil:
		return q.failed("token", err)
	}
	named := ""
	if answer.ID != 0 {
		named = fmt.Sprintf(" as runner %d", answer.ID)
	}
	out := q.found(Good, "token: known to %s%s", q.runner.Coordinator, named)
	out = append(out, q.ends("token", answer.ExpiresAt)...)
	return append(out, q.managers(ctx, client, answer.ID, begun)...)
}

// verify finds out whether the token is known. A manager that the coordinator has seen
// asks as such; any other would be recorded for asking, so it asks in the way that is not.
func (q *questions) verify(ctx context.Context, client *coordinator.Client) (coordinator.VerifyAnswer, error) {
	ctx, cancel := q.limited(ctx)
	defer cancel()
	if q.deps.SystemID == "" {
		if known, err := client.Discover(ctx, q.runner.Token); known || err != nil {
			return coordinator.VerifyAnswer{}, err
		}
	}
	return client.Verify(ctx, q.runner.Token, q.deps.SystemID)
}

// managers looks for others that use the runner: two services with one registration can't
// tell their instances apart.
func (q *questions) managers(ctx context.Context, client *coordinator.Client, id int64, begun time.Time) []Finding {
	var tokens []secret.String
	for _, t := range []secret.String{q.runner.Clever.NamespaceToken, q.runner.TraceWatch.Token} {
		if !t.Empty() {
			tokens = append(tokens, t)
		}
	}
	const subject = "other managers of the runner"
	switch {
	case len(tokens) == 0:
		return q.found(NotAsked, "%s: that takes the token of somebody who may see the runner, in job_trace_watch or cc_gitlab_namespace_attributes_token", subject)
	case id == 0:
		return q.found(NotAsked, "%s: the coordinator tells the runner's id to a manager that it knows, and this one has not asked for jobs yet", subject)
	}
	var refused error
	for _, token := range tokens {
		limited, cancel := q.limited(ctx)
		list, err := client.Managers(limited, id, token)
		cancel()
		switch {
		case err == nil:
			return q.others(list, begun)
		case levelOf(err) == Unreachable:
			return q.failed(subject, err)
		}
		refused = err
	}
	return q.found(NotAsked, "%s: %v", subject, refused)
}

// others tells who else uses the runner.
func (q *questions) others(list []coordinator.RunnerManager, begun time.Time) []Finding {
	slices.SortFunc(list, func(a, b coordinator.RunnerManager) int { return strings.Compare(a.SystemID, b.SystemID) })
	var out []Finding
	for _, m := range list {
		asker := q.deps.SystemID == "" && !m.CreatedAt.Before(begun.Add(-time.Minute)) // recorded for our question
		if m.SystemID == q.deps.SystemID || asker {
			continue
		}
		who := fmt.Sprintf("%s, version %.40q at %.60q", m.SystemID, m.Version, m.Address)
		since := time.Since(m.ContactedAt)
		if m.ContactedAt.IsZero() || since > online {
			out = append(out, q.found(Good, "another manager of the runner is not online: %s", who)...)
			continue
		}
		out = append(out, q.found(Warning, "another manager of the runner is online: %s, seen %s; "+
			"services with one registration can't tell their instances apart: stop the other one, or register a runner for each", who, ago(since))...)
	}
	if len(out) == 0 {
		return q.found(Good, "no other manager of the runner")
	}
	return out
}

// traceWatch asks about the operator's own token for job logs.
func (q *questions) traceWatch(ctx context.Context, client *coordinator.Client) []Finding {
	token := q.runner.TraceWatch.Token
	if token.Empty() {
		return nil
	}
	return q.reader(ctx, client, "job_trace_watch token", token)
}

// reader asks about a token that reads with somebody's rights.
func (q *questions) reader(ctx context.Context, client *coordinator.Client, subject string, token secret.String) []Finding {
	ctx, cancel := q.limited(ctx)
	defer cancel()
	info, err := client.TokenInfo(ctx, token)
	switch {
	case errors.Is(err, fleet.ErrUnauthorized):
		return q.found(Wrong, "%s: %s does not know it (%v)", subject, q.runner.Coordinator, err)
	case err != nil:
		return q.failed(subject, err)
	}
	if len(info.Scopes) > 0 && !slices.Contains(info.Scopes, "api") && !slices.Contains(info.Scopes, "read_api") {
		return q.found(Wrong, "%s: its scopes are %s; it needs read_api", subject, strings.Join(info.Scopes, ", "))
	}
	out := q.found(Good, "%s: known to %s", subject, q.runner.Coordinator)
	return append(out, q.ends(subject, info.ExpiresAt)...)
}
