// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/sim/fault"
)

// Job is a job as the control endpoints show it.
type Job struct {
	ID            int64      `json:"id"`
	Status        string     `json:"status"`
	FailureReason *string    `json:"failure_reason"` // of failed jobs
	ExitCode      *int       `json:"exit_code"`      // when it was reported
	Trace         string     `json:"trace"`
	Runner        *string    `json:"runner"` // the description of who acquired it
	QueuedAt      *time.Time `json:"queued_at"`
	AcquiredAt    *time.Time `json:"acquired_at"`
	FirstOutputAt *time.Time `json:"first_output_at"`
	FinishedAt    *time.Time `json:"finished_at"`
	Artifacts     []Upload   `json:"artifacts,omitempty"` // what was uploaded, by type
}

// Upload is one uploaded artifact or report.
type Upload struct {
	Type     string `json:"type"`
	Filename string `json:"filename"`
	Size     int    `json:"size"`
}

// Queue queues a job and gives its id.
func (s *Server) Queue(spec Spec) (int64, error) {
	if err := spec.complete(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range spec.Dependencies {
		if _, ok := s.find(id); !ok {
			return 0, fmt.Errorf("dependencies: there is no job %d", id)
		}
	}
	return s.queue(spec).id, nil
}

// Jobs lists all jobs by id.
func (s *Server) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Job, 0, len(s.jobs))
	for _, j := range s.jobs {
		out = append(out, j.view())
	}
	return out
}

// Job shows a job.
func (s *Server) Job(id int64) (Job, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.find(id)
	if !ok {
		return Job{}, false
	}
	return j.view(), true
}

// Cancel cancels a job as a user would, and shows what became of it. A job that has
// ended stays as it is.
func (s *Server) Cancel(id int64) (Job, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.find(id)
	if !ok {
		return Job{}, false
	}
	s.cancel(j)
	return j.view(), true
}

// SetAttributes makes these the custom attributes of a top-level group.
func (s *Server) SetAttributes(group string, attributes map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.projectID(group)
	s.groups[group] = maps.Clone(attributes)
}

// LoseTrace forgets all of a job's trace but its first bytes, as a server does that loses
// what it had not yet stored for good.
func (s *Server) LoseTrace(id int64, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j, ok := s.find(id); ok && keep >= 0 && keep < len(j.trace) {
		j.trace = j.trace[:keep:keep]
	}
}

// view shows a job; the caller holds the lock.
func (j *job) view() Job {
	v := Job{
		ID: j.id, Status: string(j.status), ExitCode: j.exitCode, Trace: string(j.trace),
		QueuedAt: moment(j.queuedAt), AcquiredAt: moment(j.acquiredAt),
		FirstOutputAt: moment(j.firstOutputAt), FinishedAt: moment(j.finishedAt),
	}
	for _, kind := range slices.Sorted(maps.Keys(j.artifacts)) {
		v.Artifacts = append(v.Artifacts, Upload{kind, j.artifacts[kind].filename, len(j.artifacts[kind].data)})
	}
	if j.failureReason != "" {
		v.FailureReason = new(j.failureReason)
	}
	if j.runner != nil {
		v.Runner = new(j.runner.description)
	}
	return v
}

// moment is a time for JSON: null until it happens.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

func (s *Server) postJob(w http.ResponseWriter, r *http.Request) {
	var spec Spec
	err := fault.Decode(r, &spec)
	var id int64
	if err == nil {
		id, err = s.Queue(spec)
	}
	if err != nil {
		fault.Refuse(w, err)
		return
	}
	fault.Answer(w, http.StatusCreated, map[string]int64{"id": id})
}

func (s *Server) listJobs(w http.ResponseWriter, _ *http.Request) {
	fault.Answer(w, http.StatusOK, s.Jobs())
}

func (s *Server) showJob(w http.ResponseWriter, r *http.Request) {
	j, ok := s.Job(pathID(r))
	answerJob(w, j, ok)
}

func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request) {
	var none struct{}
	if err := fault.Decode(r, &none); err != nil && !errors.Is(err, io.EOF) { // no body at all is fine
		fault.Refuse(w, err)
		return
	}
	j, ok := s.Cancel(pathID(r))
	answerJob(w, j, ok)
}

func answerJob(w http.ResponseWriter, j Job, ok bool) {
	if !ok {
		fault.Answer(w, http.StatusNotFound, map[string]string{"error": "there is no such job"})
		return
	}
	fault.Answer(w, http.StatusOK, j)
}

func (s *Server) putAttributes(w http.ResponseWriter, r *http.Request) {
	var attributes map[string]string
	name := r.PathValue("name")
	err := fault.Decode(r, &attributes)
	if err == nil && strings.Contains(name, "/") {
		err = fmt.Errorf("%q is no top-level group", name)
	}
	if err != nil {
		fault.Refuse(w, err)
		return
	}
	s.SetAttributes(name, attributes)
	fault.Answer(w, http.StatusOK, attributes)
}
