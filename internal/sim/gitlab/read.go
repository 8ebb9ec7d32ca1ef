// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// ownJob is GET /job: the running job of a job token.
func (s *Server) ownJob(w http.ResponseWriter, r *http.Request) {
	token := cmp.Or(r.Header.Get("Job-Token"), r.URL.Query().Get("job_token"))
	s.mu.Lock()
	j, ok := s.tokens[token]
	answer := unauthorized()
	switch {
	case token == "" && r.Header.Get("Private-Token") == AdminToken:
		answer = notFound("")
	case ok && j.processing():
		answer = reply{status: http.StatusOK, body: s.entity(j)}
	}
	s.mu.Unlock()
	answer.write(w)
}

// entity is a job as GitLab's REST API shows it; the caller holds the lock.
func (s *Server) entity(j *job) object {
	e := object{
		"id": j.id, "status": j.status, "stage": stage, "name": j.name(), "ref": branch, "tag": false,
		"allow_failure": false, "created_at": moment(j.queuedAt), "started_at": moment(j.acquiredAt),
		"finished_at": moment(j.finishedAt), "erased_at": nil, "duration": nil, "queued_duration": nil,
		"web_url": s.jobURL(j), "archived": false, "tag_list": list(j.spec.Tags),
		"project":  object{"id": s.projectID(j.spec.Project), "path_with_namespace": j.spec.Project},
		"pipeline": object{"id": pipeline, "project_id": s.projectID(j.spec.Project), "ref": branch, "status": "running"},
		"runner":   nil, "runner_manager": nil,
	}
	if j.failureReason != "" {
		e["failure_reason"] = j.failureReason
	}
	if !j.acquiredAt.IsZero() {
		e["queued_duration"] = j.acquiredAt.Sub(j.queuedAt).Seconds()
	}
	if !j.finishedAt.IsZero() && !j.acquiredAt.IsZero() {
		e["duration"] = j.finishedAt.Sub(j.acquiredAt).Seconds()
	}
	if j.runner != nil {
		e["runner"], e["runner_manager"] = j.runner.entity(), j.manager.entity()
	}
	return e
}

func (r *runner) entity() object {
	return object{
		"id": r.id, "description": r.description, "paused": r.paused, "active": !r.paused, "is_shared": true,
		"runner_type": "instance_type", "tag_list": list(r.tags), "run_untagged": r.untagged,
		"online": true, "status": "online",
	}
}

func (m *manager) entity() object {
	return object{
		"id": m.id, "system_id": m.systemID, "version": m.info.Version, "revision": m.info.Revision,
		"platform": m.info.Platform, "architecture": m.info.Architecture, "ip_address": "127.0.0.1",
		"created_at": moment(m.createdAt), "contacted_at": moment(m.lastSeenAt), "status": "online",
	}
}

// withProjectJob answers about the job that a path names, under the lock.
func (s *Server) withProjectJob(w http.ResponseWriter, r *http.Request, act func(j *job) reply) {
	s.mu.Lock()
	project := r.PathValue("project")
	j, ok := s.find(pathID(r))
	answer := notFound("")
	if ok && (project == j.spec.Project || project == strconv.Itoa(s.projectID(j.spec.Project))) {
		answer = act(j)
	}
	s.mu.Unlock()
	answer.write(w)
}

func (s *Server) projectJob(w http.ResponseWriter, r *http.Request) {
	s.withProjectJob(w, r, func(j *job) reply { return reply{status: http.StatusOK, body: s.entity(j)} })
}

func (s *Server) projectTrace(w http.ResponseWriter, r *http.Request) {
	s.withProjectJob(w, r, func(j *job) reply {
		return reply{status: http.StatusOK, text: string(j.trace), headers: map[string]string{"Content-Type": "text/plain"}}
	})
}

func (s *Server) cancelProjectJob(w http.ResponseWriter, r *http.Request) {
	s.withProjectJob(w, r, func(j *job) reply {
		s.cancel(j)
		if j.status == canceling && r.URL.Query().Get("force") == "true" {
			s.finish(j, canceled, "", nil)
		}
		return reply{status: http.StatusCreated, body: s.entity(j)}
	})
}

// withRunner answers about the runner that a path names, under the lock.
func (s *Server) withRunner(w http.ResponseWriter, r *http.Request, act func(known *runner) any) {
	s.mu.Lock()
	answer := notFound("Runner")
	if known, ok := s.runnerByID(pathID(r)); ok {
		answer = reply{status: http.StatusOK, body: act(known)}
	}
	s.mu.Unlock()
	answer.write(w)
}

func (s *Server) showRunner(w http.ResponseWriter, r *http.Request) {
	s.withRunner(w, r, func(known *runner) any {
		e := known.entity()
		e["run_untagged"], e["locked"], e["access_level"] = known.untagged, known.locked, cmp.Or(known.accessLevel, "not_protected")
		e["maximum_timeout"], e["maintenance_note"] = nil, known.note
		if known.maxTimeout > 0 {
			e["maximum_timeout"] = int(known.maxTimeout.Seconds())
		}
		return e
	})
}

// allRunners lists every runner in the order in which they came, a page at a time.
func (s *Server) allRunners(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	known := slices.SortedFunc(maps.Values(s.runners), func(a, b *runner) int { return cmp.Compare(a.id, b.id) })
	out := []object{}
	for _, k := range known {
		out = append(out, k.entity())
	}
	s.mu.Unlock()
	reply{status: http.StatusOK, body: page(r, out)}.write(w)
}

func (s *Server) runnerManagers(w http.ResponseWriter, r *http.Request) {
	s.withRunner(w, r, func(known *runner) any {
		out := []object{}
		for _, m := range known.managers {
			out = append(out, m.entity())
		}
		return out
	})
}

// runnerJobs lists what a runner acquired, the newest first, a page at a time, whichever of
// its managers it was: servers of before that distinction do so.
func (s *Server) runnerJobs(w http.ResponseWriter, r *http.Request) {
	want := r.URL.Query().Get("status")
	s.withRunner(w, r, func(known *runner) any {
		out := []object{}
		for _, j := range slices.Backward(s.jobs) {
			if j.runner == known && (want == "" || want == string(j.status)) {
				out = append(out, s.entity(j))
			}
		}
		return page(r, out)
	})
}

// page cuts the page out of a list that a query asks for.
func page(r *http.Request, all []object) []object {
	number := func(key string, otherwise int) int {
		n, err := strconv.Atoi(r.URL.Query().Get(key))
		if err != nil || n < 1 {
			return otherwise
		}
		return n
	}
	size := min(number("per_page", 20), 100)
	from := min((number("page", 1)-1)*size, len(all))
	return all[from:min(from+size, len(all))]
}

// withGroup answers about the group that a path names, by path or number, under the lock.
func (s *Server) withGroup(w http.ResponseWriter, r *http.Request, act func(attributes map[string]string) reply) {
	name := r.PathValue("group")
	s.mu.Lock()
	answer := notFound("Group")
	for path, id := range s.projects {
		if root(path) == path && (path == name || strconv.Itoa(id) == name) {
			answer = act(s.groups[path])
		}
	}
	s.mu.Unlock()
	answer.write(w)
}

func (s *Server) groupAttributes(w http.ResponseWriter, r *http.Request) {
	s.withGroup(w, r, func(attributes map[string]string) reply {
		out := []object{}
		for _, k := range slices.Sorted(maps.Keys(attributes)) {
			out = append(out, object{"key": k, "value": attributes[k]})
		}
		return reply{status: http.StatusOK, body: out}
	})
}

func (s *Server) groupAttribute(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	s.withGroup(w, r, func(attributes map[string]string) reply {
		value, ok := attributes[key]
		if !ok {
			return notFound("CustomAttribute")
		}
		return reply{status: http.StatusOK, body: object{"key": key, "value": value}}
	})
}

// list is a list for JSON, where an empty one is not null.
func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}
