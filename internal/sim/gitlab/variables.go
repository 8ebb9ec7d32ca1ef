// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entry is a variable of the payload.
type entry struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Public bool   `json:"public"`
	File   bool   `json:"file"`
	Masked bool   `json:"masked"`
	Raw    bool   `json:"raw"`
}

// variables are the job's variables; later ones win. The caller holds the lock.
func (s *Server) variables(j *job, commit string) []entry {
	out := slices.Concat(s.serverVariables(), s.projectVariables(j, commit), s.jobVariables(j))
	if !j.spec.Git {
		out = append(out, shown("GIT_STRATEGY", "none"))
	}
	if j.spec.VirtualSeconds != nil {
		out = append(out, shown("SIM_VIRTUAL_SECONDS", strconv.FormatFloat(*j.spec.VirtualSeconds, 'f', -1, 64)))
	}
	for _, k := range slices.Sorted(maps.Keys(j.spec.Variables)) {
		v := j.spec.Variables[k]
		out = append(out, entry{Key: k, Value: v.Value, Public: !v.Masked && !v.File, File: v.File, Masked: v.Masked})
	}
	return out
}

// shown is a variable that everybody may see, and secret one that nobody may.
func shown(key, value string) entry  { return entry{Key: key, Value: value, Public: true} }
func hidden(key, value string) entry { return entry{Key: key, Value: value, Masked: true} }

func (s *Server) serverVariables() []entry {
	scheme, hostname, port := s.parts()
	return []entry{
		shown("CI", "true"), shown("GITLAB_CI", "true"), shown("CI_SERVER", "yes"),
		shown("CI_SERVER_URL", s.config.URL), shown("CI_SERVER_HOST", hostname), shown("CI_SERVER_PORT", port),
		shown("CI_SERVER_PROTOCOL", scheme), shown("CI_SERVER_NAME", "GitLab"), shown("CI_SERVER_VERSION", "17.9.0"),
		shown("CI_SERVER_VERSION_MAJOR", "17"), shown("CI_SERVER_VERSION_MINOR", "9"), shown("CI_SERVER_VERSION_PATCH", "0"),
		shown("CI_API_V4_URL", s.config.URL+"/api/v4"), shown("CI_REGISTRY", s.host()),
		shown("CI_DEPENDENCY_PROXY_SERVER", s.proxyHost()),
	}
}

func (s *Server) projectVariables(j *job, commit string) []entry {
	project := j.spec.Project
	slug := strings.ToLower(strings.NewReplacer("/", "-", ".", "-", "_", "-").Replace(project))
	proxy := s.proxyHost() + "/" + root(project) + "/dependency_proxy/containers"
	return []entry{
		shown("CI_PROJECT_ID", strconv.Itoa(s.projectID(project))),
		shown("CI_PROJECT_NAME", j.projectName()), shown("CI_PROJECT_TITLE", j.projectName()),
		shown("CI_PROJECT_PATH", project), shown("CI_PROJECT_PATH_SLUG", slug),
		shown("CI_PROJECT_NAMESPACE", project[:strings.LastIndex(project, "/")]),
		shown("CI_PROJECT_ROOT_NAMESPACE", root(project)),
		shown("CI_PROJECT_URL", s.config.URL+"/"+project), shown("CI_PROJECT_VISIBILITY", "private"),
		shown("CI_DEFAULT_BRANCH", branch), shown("CI_REGISTRY_IMAGE", s.host()+"/"+strings.ToLower(project)),
		shown("CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX", proxy),
		shown("CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX", proxy),
		shown("CI_COMMIT_SHA", commit), shown("CI_COMMIT_SHORT_SHA", commit[:8]),
		shown("CI_COMMIT_BEFORE_SHA", strings.Repeat("0", 40)), shown("CI_COMMIT_BRANCH", branch),
		shown("CI_COMMIT_REF_NAME", branch), shown("CI_COMMIT_REF_SLUG", branch), shown("CI_COMMIT_REF_PROTECTED", "true"),
		shown("CI_PIPELINE_ID", strconv.Itoa(pipeline)), shown("CI_PIPELINE_SOURCE", "push"),
		shown("CI_PIPELINE_URL", fmt.Sprintf("%s/%s/-/pipelines/%d", s.config.URL, project, pipeline)),
	}
}

func (s *Server) jobVariables(j *job) []entry {
	tags, err := json.Marshal(list(j.runner.tags))
	if err != nil {
		tags = []byte("[]") // texts can always be written
	}
	out := []entry{
		shown("CI_JOB_ID", strconv.FormatInt(j.id, 10)), shown("CI_JOB_URL", s.jobURL(j)),
		shown("CI_JOB_NAME", j.name()), shown("CI_JOB_STAGE", stage),
		shown("CI_JOB_STARTED_AT", j.acquiredAt.UTC().Format(time.RFC3339)),
		shown("CI_JOB_TIMEOUT", strconv.Itoa(int(j.timeout.Seconds()))),
		shown("CI_RUNNER_ID", strconv.Itoa(j.runner.id)), shown("CI_RUNNER_DESCRIPTION", j.runner.description),
		shown("CI_RUNNER_TAGS", string(tags)),
		hidden("CI_JOB_TOKEN", j.token),
		shown("CI_REGISTRY_USER", ciUser), hidden("CI_REGISTRY_PASSWORD", j.token),
		shown("CI_DEPENDENCY_PROXY_USER", ciUser), hidden("CI_DEPENDENCY_PROXY_PASSWORD", j.token),
		{Key: "CI_REPOSITORY_URL", Value: s.repoURL(j)},
	}
	if i := j.spec.Image; i != nil {
		out = append(out, shown("CI_JOB_IMAGE", i.Name))
	}
	return out
}

// jobURL is the job's page, if there were pages.
func (s *Server) jobURL(j *job) string {
	return fmt.Sprintf("%s/%s/-/jobs/%d", s.config.URL, j.spec.Project, j.id)
}
