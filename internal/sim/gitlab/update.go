// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// statusHeader tells a runner what became of its job.
const statusHeader = "Job-Status"

// update is the body of PUT /jobs/:id.
type update struct {
	Token         string `json:"token"`
	State         string `json:"state"`
	FailureReason string `json:"failure_reason"`
	ExitCode      *int   `json:"exit_code"`
}

// updateJob is PUT /jobs/:id.
func (s *Server) updateJob(w http.ResponseWriter, r *http.Request) {
	var call update
	if !readJSON(w, r, &call) {
		return
	}
	s.asJob(r, call.Token, func(j *job) reply { return s.update(j, call) }).write(w)
}

// update applies an update; the caller holds the lock.
func (s *Server) update(j *job, call update) reply {
	switch call.State {
	case "running", "":
		j.touchedAt = time.Now()
	case "success":
		if call.ExitCode == nil {
			call.ExitCode = new(0) // the runner leaves it out when it is 0
		}
		s.finish(j, success, "", call.ExitCode)
	case "failed":
		s.finish(j, failed, knownReason(call.FailureReason), call.ExitCode)
	default:
		return message(http.StatusBadRequest, "400 Bad Request")
	}
	return reply{
		status: http.StatusOK, headers: map[string]string{statusHeader: string(j.status)},
		text: strconv.Itoa(http.StatusOK),
	}
}

// knownReason is how GitLab stores a failure reason.
func knownReason(reason string) string {
	if slices.Contains(failureReasons(), reason) {
		return reason
	}
	return "unknown_failure"
}

// failureReasons are all reasons that the server knows.
func failureReasons() []string {
	return []string{
		"unknown_failure", "script_failure", "api_failure", "stuck_or_timeout_failure", "runner_system_failure",
		"missing_dependency_failure", "runner_unsupported", "stale_schedule", "job_execution_timeout",
		"archived_failure", "unmet_prerequisites", "scheduler_failure", "data_integrity_failure",
		"forward_deployment_failure", "user_blocked", "project_deleted", "ci_quota_exceeded",
		"pipeline_loop_detected", "no_matching_runner", "trace_size_exceeded", "builds_disabled",
		"environment_creation_failure", "deployment_rejected", "failed_outdated_deployment_job",
		"job_execution_server_timeout", "stuck_pending_with_matching_runners",
		"stuck_pending_no_matching_runners", "no_updates_running", "no_updates_canceling",
		"server_timeout_running", "server_timeout_canceling", "runner_configuration_error",
		"runner_external_dependency_failure", "runner_interrupted",
	}
}

// asJob answers a call that a job's token is needed for, under the lock: the token is in
// the body, else in the query, else in a header. A wrong token and an unknown job are the
// same 403, so that a runner stops in both cases.
func (s *Server) asJob(r *http.Request, bodyToken string, act func(j *job) reply) reply {
	token := bodyToken
	if token == "" {
		token = r.URL.Query().Get("token")
	}
	if token == "" {
		token = r.Header.Get("Job-Token")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.find(pathID(r))
	switch {
	case !ok || token != j.token:
		return forbidden()
	case !j.processing():
		refused := message(http.StatusForbidden, "403 Forbidden  - Job is not processing on runner")
		refused.headers = map[string]string{statusHeader: string(j.status)}
		return refused
	}
	return act(j)
}
