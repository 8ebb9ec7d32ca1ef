// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// runner is a [[runners]] section, as far as it is used here.
type runner struct {
	Name     string          `toml:"name"`
	URL      string          `toml:"url"`
	Token    string          `toml:"token"`
	Executor string          `toml:"executor"`
	Features map[string]bool `toml:"feature_flags"`
	Docker   struct {
		Image       string   `toml:"image"`
		HelperImage string   `toml:"helper_image"`
		NetworkMode string   `toml:"network_mode"`
		Volumes     []string `toml:"volumes"`
	} `toml:"docker"`
}

func readRunner(file, name string) (runner, error) {
	var config struct {
		Runners []runner `toml:"runners"`
	}
	if _, err := toml.DecodeFile(file, &config); err != nil {
		return runner{}, err
	}
	for _, r := range config.Runners {
		if r.Name == name && r.Executor == "docker" {
			return r, nil
		}
	}
	return runner{}, fmt.Errorf("%s has no runner %q with the docker executor", file, name)
}

// short is the part of the token that is shown.
func (r runner) short() string {
	token := strings.TrimPrefix(r.Token, "glrt-")
	return token[:min(len(token), 9)]
}

// payload is the job.
type payload struct {
	ID      int64  `json:"id"`
	Token   string `json:"token"`
	JobInfo struct {
		ProjectID int64  `json:"project_id"`
		Path      string `json:"project_full_path"`
	} `json:"job_info"`
	Variables []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"variables"`
	Steps []struct {
		Name   string   `json:"name"`
		Script []string `json:"script"`
	} `json:"steps"`
	Image     *image  `json:"image"`
	Services  []image `json:"services"`
	Artifacts []struct {
		Name  string   `json:"name"`
		Paths []string `json:"paths"`
		Type  string   `json:"artifact_type"`
	} `json:"artifacts"`
	Dependencies []struct {
		ID    int64  `json:"id"`
		Token string `json:"token"`
		File  struct {
			Name string `json:"filename"`
		} `json:"artifacts_file"`
	} `json:"dependencies"`
}

type image struct {
	Name  string `json:"name"`
	Alias string `json:"alias"`
}

// aliases are the names by which a service is found.
func (i image) aliases() []string {
	name, _, _ := strings.Cut(i.Name, ":")
	out := []string{strings.ReplaceAll(name, "/", "-"), strings.ReplaceAll(name, "/", "__")}
	if i.Alias != "" {
		out = append(out, i.Alias)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *payload) variable(key string) string {
	for _, v := range slices.Backward(p.Variables) {
		if v.Key == key {
			return v.Value
		}
	}
	return ""
}

// dir is where the project lies in the job's containers.
func (p *payload) dir() string { return path.Join("/builds", cmp.Or(p.JobInfo.Path, "project")) }

func (p *payload) script(step string) string {
	for _, s := range p.Steps {
		if s.Name == step {
			return strings.Join(s.Script, "\n")
		}
	}
	return ""
}

// feature tells whether a feature flag is set; the runner's word counts before the job's.
func feature(r runner, p *payload, name string) bool {
	if set, ok := r.Features[name]; ok {
		return set
	}
	return slices.Contains([]string{"1", "true"}, p.variable(name))
}
