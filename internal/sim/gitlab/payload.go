// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object of the payload whose shape is said where it is made.
type object = map[string]any

// payload is the job as it is granted; the caller holds the lock.
func (s *Server) payload(j *job) object {
	repo := s.repo(j.spec.Project)
	return overlay(object{
		"id": j.id, "token": j.token, "allow_git_fetch": true,
		"job_info": s.jobInfo(j),
		"git_info": object{
			"repo_url": s.repoURL(j), "ref": branch, "sha": repo.commit, "before_sha": strings.Repeat("0", 40),
			"ref_type": "branch", "refspecs": []string{"+refs/heads/" + branch + ":refs/remotes/origin/" + branch},
			"depth": 20, "repo_object_format": "sha1", "protected": true,
		},
		"runner_info":  object{"timeout": int(j.timeout.Seconds()), "runner_session_url": nil},
		"variables":    s.variables(j, repo.commit),
		"steps":        steps(j),
		"hooks":        hooks(j),
		"image":        jobImage(j.spec.Image),
		"services":     jobServices(j.spec.Services),
		"artifacts":    jobArtifacts(j),
		"cache":        caches(j),
		"credentials":  s.credentials(j),
		"dependencies": s.dependencies(j),
		"features": object{
			"trace_sections": true, "token_mask_prefixes": []string{"glpat-", "glcbt-"},
			"failure_reasons": append(failureReasons(), "image_pull_failure"),
		},
	}, j.spec.Payload)
}

// overlay lays what was posted over what was made: objects are merged, everything else
// takes the place of what was there.
func overlay(base, top object) object {
	for key, value := range top {
		below, ok := base[key].(object)
		if above, is := value.(object); ok && is {
			value = overlay(below, above)
		}
		base[key] = value
	}
	return base
}

func hooks(j *job) []object {
	out := []object{}
	for _, name := range slices.Sorted(maps.Keys(j.spec.Hooks)) {
		out = append(out, object{"name": name, "script": j.spec.Hooks[name]})
	}
	return out
}

func caches(j *job) []object {
	out := []object{}
	for _, c := range j.spec.Cache {
		out = append(out, object{
			"key": c.Key, "paths": c.Paths, "untracked": c.Untracked, "policy": c.Policy, "when": c.When,
			"fallback_keys": append([]string{}, c.FallbackKeys...),
		})
	}
	return out
}

// ciUser is the user name that goes with a job's token.
const ciUser = "gitlab-ci-token"

// stage is the stage of every job, and pipeline the pipeline.
const (
	stage    = "test"
	pipeline = 501
)

func (j *job) name() string { return "job-" + strconv.FormatInt(j.id, 10) }

func (s *Server) jobInfo(j *job) object {
	namespace := j.spec.Project[:strings.LastIndex(j.spec.Project, "/")]
	busy := 0
	for _, o := range s.open {
		if o != j && o.processing() && o.spec.Project == j.spec.Project {
			busy++
		}
	}
	return object{
		"id": j.id, "name": j.name(), "stage": stage, "pipeline_id": pipeline,
		"project_id": s.projectID(j.spec.Project), "project_name": j.projectName(), "project_full_path": j.spec.Project,
		"namespace_id": s.projectID(namespace), "root_namespace_id": s.projectID(root(j.spec.Project)),
		"organization_id": 1, "instance_id": "sim", "instance_uuid": "00000000-0000-0000-0000-000000000000",
		"user_id": 1, "scoped_user_id": nil,
		"time_in_queue_seconds":                          j.acquiredAt.Sub(j.queuedAt).Seconds(),
		"project_jobs_running_on_instance_runners_count": strconv.Itoa(busy),
		"queue_size": len(s.open), "queue_depth": 1,
	}
}

func (j *job) projectName() string {
	return j.spec.Project[strings.LastIndex(j.spec.Project, "/")+1:]
}

// steps are the script, with before_script in front of it, and the after_script.
func steps(j *job) []object {
	seconds := int(j.timeout / time.Second)
	out := []object{{
		"name": "script", "script": slices.Concat(j.spec.BeforeScript, j.spec.Script),
		"timeout": seconds, "when": "on_success", "allow_failure": false,
	}}
	if len(j.spec.AfterScript) > 0 {
		out = append(out, object{
			"name": "after_script", "script": j.spec.AfterScript,
			"timeout": seconds, "when": "always", "allow_failure": true,
		})
	}
	return out
}

// jobImage is the image, or null when the runner shall use its own.
func jobImage(i *Image) any {
	if i == nil {
		return nil
	}
	return object{
		"name": i.Name, "alias": orNull(i.Alias), "entrypoint": i.Entrypoint, "command": i.Command,
		"ports": []object{}, "executor_opts": object{}, "pull_policy": nil,
	}
}

func jobServices(services []Image) []object {
	out := []object{}
	for _, i := range services {
		out = append(out, object{
			"name": i.Name, "alias": orNull(i.Alias), "entrypoint": i.Entrypoint, "command": i.Command,
			"ports": []object{}, "executor_opts": object{}, "variables": []object{}, "pull_policy": nil,
		})
	}
	return out
}

func jobArtifacts(j *job) []object {
	a := j.spec.Artifacts
	if a == nil {
		return []object{}
	}
	out := []object{}
	if len(a.Paths) > 0 || a.Untracked {
		out = append(out, object{
			"name": j.name(), "untracked": orNull(a.Untracked), "paths": a.Paths, "exclude": a.Exclude, "when": a.When,
			"expire_in": a.ExpireIn, "artifact_type": archive, "artifact_format": "zip",
		})
	}
	for _, kind := range slices.Sorted(maps.Keys(a.Reports)) {
		out = append(out, object{
			"name": reportName(kind), "untracked": nil, "paths": a.Reports[kind], "exclude": nil, "when": "always",
			"expire_in": a.ExpireIn, "artifact_type": kind, "artifact_format": reportFormats()[kind],
		})
	}
	return out
}

// reportName is what a report's file is called.
func reportName(kind string) string {
	if reportFormats()[kind] == "gzip" {
		return kind + ".gz"
	}
	return kind + ".json"
}

// dependencies are the jobs whose artifacts this one gets, with its own token.
func (s *Server) dependencies(j *job) []object {
	out := []object{}
	for _, id := range j.spec.Dependencies {
		needed, ok := s.find(id)
		if !ok {
			continue // Queue has looked for it
		}
		entry := object{"id": id, "name": needed.name(), "token": j.token}
		if a, ok := needed.artifacts[archive]; ok {
			entry["artifacts_file"] = object{"filename": a.filename, "size": len(a.data)}
		}
		out = append(out, entry)
	}
	return out
}

// credentials are for the container registry and the Dependency Proxy, which names
// itself with a port in any case.
func (s *Server) credentials(j *job) []object {
	var out []object
	for _, url := range slices.Compact([]string{s.host(), s.proxyHost()}) {
		out = append(out, object{"type": "registry", "url": url, "username": ciUser, "password": j.token})
	}
	return out
}

// proxyHost is the Dependency Proxy's host and port.
func (s *Server) proxyHost() string {
	_, hostname, port := s.parts()
	return hostname + ":" + port
}

// host is the server's host and port, as in the name of an image.
func (s *Server) host() string {
	_, host, _ := strings.Cut(s.config.URL, "://")
	host, _, _ = strings.Cut(host, "/")
	return host
}

// repoURL is where the job clones its project from.
func (s *Server) repoURL(j *job) string {
	scheme, rest, _ := strings.Cut(s.config.URL, "://")
	return scheme + "://" + ciUser + ":" + j.token + "@" + rest + "/" + j.spec.Project + ".git"
}

// parts are the pieces of the server's URL.
func (s *Server) parts() (scheme, hostname, port string) {
	u, err := url.Parse(s.config.URL)
	if err != nil {
		return "http", s.host(), "80" // whoever starts the server gave it a strange name
	}
	port = u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return u.Scheme, u.Hostname(), port
}

// orNull is null instead of a zero value.
func orNull[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}
