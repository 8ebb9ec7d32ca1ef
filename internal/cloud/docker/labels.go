// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"strconv"

	"heptapod-paas-runner/internal/cloud"
)

// Labels by which things are found again.
const (
	// KeyLabel is on everything of an instance; its value is the instance's key.
	KeyLabel = "heptapod.paas-runner.key"
	// RoleLabel is on the instance's own container, which ends with its task.
	RoleLabel = "heptapod.paas-runner.role"
	// FlavorLabel is on it too.
	FlavorLabel = "heptapod.paas-runner.flavor"

	roleInstance = "instance"
	// relayKeyLabel is what the relay puts on the job's network.
	relayKeyLabel = "heptapod.paas-relay.key"
	// managedLabel, jobLabel and runnerLabel are gitlab-runner's own, on what it makes.
	managedLabel = "com.gitlab.gitlab-runner.managed"
	jobLabel     = "com.gitlab.gitlab-runner.job.id"
	runnerLabel  = "com.gitlab.gitlab-runner.runner.id"
)

var _ cloud.Shaper = (*Provisioner)(nil)

// Shape implements cloud.Shaper: our label on every container that the sub-runner
// starts, the flavor's limits on each of them, and no volume that outlives the job.
// With disable_cache volumes get names of their own: two jobs of one project at a time
// would share one otherwise, since each sub-runner counts its jobs alone. And the engine that
// it asks is the instance's own.
func (p *Provisioner) Shape(key, flavor string) map[string]any {
	out := map[string]any{
		"container_labels": map[string]any{KeyLabel: key},
		"disable_cache":    true,
		// Another engine's containers would not be found again.
		"host": "unix://" + usualSocket, "tls_cert_path": "", "tls_verify": false,
	}
	f, err := p.flavor(flavor)
	if err != nil {
		return out
	}
	if f.CPUs > 0 {
		cpus := strconv.FormatFloat(f.CPUs, 'f', -1, 64)
		out["cpus"], out["service_cpus"] = cpus, cpus
	}
	if f.Memory > 0 {
		memory := strconv.FormatInt(f.Memory, 10)
		out["memory"], out["memory_swap"] = memory, memory
		out["service_memory"], out["service_memory_swap"] = memory, memory
	}
	if f.CgroupParent != "" {
		out["cgroup_parent"], out["service_cgroup_parent"] = f.CgroupParent, f.CgroupParent
	}
	return out
}
