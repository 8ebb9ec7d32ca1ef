// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// status is a job's status, in GitLab's words.
type status string

// Every status that a job here can have; those from success on are final.
const (
	pending   status = "pending"
	running   status = "running"
	canceling status = "canceling"
	success   status = "success"
	failed    status = "failed"
	canceled  status = "canceled"
)

// firstID is the id of the first job.
const firstID = 100001

// job is one CI job.
type job struct {
	id             int64
	token          string
	spec           Spec
	timeout        time.Duration
	status         status
	failureReason  string
	exitCode       *int
	trace          []byte
	runner         *runner
	manager        *manager
	gracefulCancel bool // its manager said that sub-runners cancel gracefully
	artifacts      map[string]artifact
	queuedAt       time.Time
	acquiredAt     time.Time
	firstOutputAt  time.Time
	finishedAt     time.Time
	touchedAt      time.Time
}

func (j *job) ended() bool {
	return j.status == success || j.status == failed || j.status == canceled
}

// processing tells whether calls with the job's token are welcome.
func (j *job) processing() bool { return j.status == running || j.status == canceling }

// find finds a job; the caller holds the lock.
func (s *Server) find(id int64) (*job, bool) {
	if i := id - firstID; i >= 0 && i < int64(len(s.jobs)) {
		return s.jobs[i], true
	}
	return nil, false
}

// queue makes a job of a spec that was checked; the caller holds the lock.
func (s *Server) queue(spec Spec) *job {
	now := time.Now()
	j := &job{
		id: firstID + int64(len(s.jobs)), token: "glcbt-64_" + s.secret(), spec: spec,
		timeout: time.Duration(spec.Timeout), status: pending, artifacts: map[string]artifact{}, queuedAt: now,
	}
	s.jobs = append(s.jobs, j)
	s.open = append(s.open, j)
	s.tokens[j.token] = j
	s.projectID(spec.Project)
	s.projectID(root(spec.Project))
	s.tick()
	s.missDependencies()
	return j
}

// finish brings a job to its end; the caller holds the lock. Whatever ends a job that is
// being canceled makes it canceled.
func (s *Server) finish(j *job, to status, reason string, exitCode *int) {
	if j.status == canceling {
		to = canceled
	}
	j.status, j.exitCode, j.finishedAt = to, exitCode, time.Now()
	if to == failed {
		j.failureReason = reason
	}
	s.open = slices.DeleteFunc(s.open, func(o *job) bool { return o == j })
	s.missDependencies()
	if slices.ContainsFunc(s.open, func(o *job) bool { return o.status == pending && slices.Contains(o.spec.Dependencies, j.id) }) {
		s.tick()
	}
}

// missDependencies fails the pending jobs that can't get what they depend on; the
// caller holds the lock.
func (s *Server) missDependencies() {
	for _, j := range slices.Clone(s.open) {
		if j.status != pending {
			continue
		}
		for _, id := range j.spec.Dependencies {
			if needed, ok := s.find(id); ok && needed.ended() && needed.status != success {
				s.finish(j, failed, "missing_dependency_failure", nil)
				break
			}
		}
	}
}

// cancel cancels a job; the caller holds the lock. A running job is asked to clean up if
// its runner can do that.
func (s *Server) cancel(j *job) {
	switch {
	case j.status == running && j.gracefulCancel:
		j.status = canceling
		j.touchedAt = time.Now()
		s.hurry()
	case j.status == pending || j.status == running:
		s.finish(j, canceled, "", nil)
	}
}

// projectID gives a project or group its number; the caller holds the lock.
func (s *Server) projectID(path string) int {
	if _, ok := s.projects[path]; !ok {
		s.projects[path] = len(s.projects) + 1
	}
	return s.projects[path]
}

// pathID reads the number that a path names; a number that is none names nothing.
func pathID(r *http.Request) int64 {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return -1
	}
	return id
}
