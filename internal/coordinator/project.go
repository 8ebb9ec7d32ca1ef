// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"net/url"
	"slices"
	"strings"
)

// project gives the full path of the job's project, "" when it can't be known. It names
// who pays, and a job may give itself a variable of any name, which comes beside the
// coordinator's own: so variables are believed only where what the coordinator alone
// writes bears them out, or where there is but one value.
func (b *payloadBody) project() string {
	if b.JobInfo.ProjectFullPath != "" {
		return b.JobInfo.ProjectFullPath
	}
	said := b.values("CI_PROJECT_PATH")
	if path := b.repoPath(); path != "" {
		said = slices.DeleteFunc(said, func(project string) bool { return !strings.HasSuffix(path, "/"+project) })
	}
	return only(said)
}

// root gives the top-level group or user of the project.
func (b *payloadBody) root() string {
	top, _, below := strings.Cut(b.project(), "/")
	if below {
		return top
	}
	root := only(b.values("CI_PROJECT_ROOT_NAMESPACE"))
	if path := b.repoPath(); b.JobInfo.ProjectFullPath != "" || path != "" && !strings.HasPrefix(path, "/"+root+"/") {
		return ""
	}
	return root
}

// repoPath is the path of the repository's URL without its ending, "" when there is none.
func (b *payloadBody) repoPath() string {
	repo, err := url.Parse(b.GitInfo.RepoURL)
	if err != nil || strings.Trim(repo.Path, "/") == "" {
		return ""
	}
	return "/" + strings.Trim(strings.TrimSuffix(repo.Path, ".git"), "/")
}

// values gives the different values of a variable.
func (b *payloadBody) values(key string) []string {
	var out []string
	for _, v := range b.Variables {
		if v.Key == key && v.Value != "" && !slices.Contains(out, v.Value) {
			out = append(out, v.Value)
		}
	}
	return out
}

// only gives the one text of a list, "" when there are none or several.
func only(list []string) string {
	if len(list) != 1 {
		return ""
	}
	return list[0]
}
