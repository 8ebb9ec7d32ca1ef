// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
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
		Host        string   `toml:"host"`
		Image       string   `toml:"image"`
		HelperImage string   `toml:"helper_image"`
		NetworkMode string   `toml:"network_mode"`
		Volumes     []string `toml:"volumes"`
		// DisableCache: no volume is made for what stands in Volumes.
		DisableCache bool              `toml:"disable_cache"`
		Labels       map[string]string `toml:"container_labels"`
		limits
		ServiceCPUs         string `toml:"service_cpus"`
		ServiceMemory       string `toml:"service_memory"`
		ServiceMemorySwap   string `toml:"service_memory_swap"`
		ServiceCgroupParent string `toml:"service_cgroup_parent"`
	} `toml:"docker"`
}

// limits are what a container may use.
type limits struct {
	CPUs         string `toml:"cpus"`
	Memory       string `toml:"memory"`
	MemorySwap   string `toml:"memory_swap"`
	CgroupParent string `toml:"cgroup_parent"`
}

// limits gives those of a kind of container: services have keys of their own.
func (r runner) limits(kind string) limits {
	d := r.Docker
	if kind == "service" {
		return limits{d.ServiceCPUs, d.ServiceMemory, d.ServiceMemorySwap, d.ServiceCgroupParent}
	}
	return d.limits
}

// put writes the limits into a HostConfig. What is no number is none: gitlab-runner takes
// units too, which nobody here writes.
func (l limits) put(host map[string]any) {
	cpus, _ := strconv.ParseFloat(l.CPUs, 64)
	memory, _ := strconv.ParseInt(l.Memory, 10, 64)
	swap, _ := strconv.ParseInt(l.MemorySwap, 10, 64)
	host["NanoCpus"], host["Memory"], host["MemorySwap"], host["CgroupParent"] = int64(cpus*1e9), memory, swap, l.CgroupParent
}

func readRunner(file, name string) (runner, error) {
	var config struct {
		Runners []runner `toml:"runners"`
	}
	if _, err := toml.DecodeFile(file, &config); err != nil {
		return runner{}, err
	}
	for _, r := range config.Runners {
		if (r.Name == name || name == "" && len(config.Runners) == 1) && r.Executor == "docker" {
			if h := r.Docker.Host; h != "" && h != "unix://"+socket {
				return runner{}, fmt.Errorf("cannot connect to the Docker daemon at %s", h)
			}
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
