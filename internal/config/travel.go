// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"
)

// adviseForwarded tells what the forwarded part gives to every instance, where that is
// more than somebody may have thought of.
func (f *file) adviseForwarded(r *reader, rc *Runner) {
	f.adviseCache(r, rc)
	for _, key := range slices.Sorted(maps.Keys(rc.Forward)) {
		docker, ok := rc.Forward[key].(map[string]any)
		if !ok || !strings.EqualFold(key, "docker") {
			continue
		}
		for _, option := range slices.Sorted(maps.Keys(docker)) {
			f.adviseDocker(child(r.full(key), option), option, docker[option])
			if rc.Executor == ExecutorDocker && slices.Contains([]string{"host", "tls_cert_path", "tls_verify"}, strings.ToLower(option)) {
				f.warn(child(r.full(key), option), option, "has no effect: the sub-runner asks the engine that its instance is on. Which that is, host and paas_docker_cert_path of the runner say")
			}
		}
	}
	for _, needed := range []struct{ name, why string }{
		{"CC_MOUNT_DOCKER_SOCKET", "the sub-runner could not start containers"}, {"CC_ENABLE_HEPTAPOD_RUNNER", "Clever Cloud needs it for now"},
	} {
		if value, there := rc.Clever.ExtraEnv[needed.name]; there && (value == "" || strings.EqualFold(value, "false")) {
			r.warn("cc_extra_env", "%s is %q: %s", needed.name, value, needed.why)
		}
	}
}

// adviseDocker: an instance is for one job, so what a job can break out of is its own; what
// the instance was given can be read.
func (f *file) adviseDocker(at, option string, value any) {
	switch {
	case strings.EqualFold(option, "privileged") && value == true:
		f.warn(at, "privileged", "true: jobs can read all that their instance was given, credentials of the cache and of registries among it")
	case strings.EqualFold(option, "volumes") && strings.Contains(strings.Join(textsOf(value), "\n"), "docker.sock"):
		f.warn(at, "volumes", "holds the Docker socket: jobs can read all that their instance was given, credentials of the cache and of registries among it, and may stop the sub-runner's own containers")
	}
}

func textsOf(value any) []string {
	items, _ := value.([]any)
	var out []string
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// adviseCache: with several tenants one bucket would be shared by all, and its keys be
// given to the jobs of each.
func (f *file) adviseCache(r *reader, rc *Runner) {
	if !rc.Clever.MultiTenant {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(rc.Forward)) {
		cache, ok := rc.Forward[key].(map[string]any)
		if !ok || !strings.EqualFold(key, "cache") {
			continue
		}
		for _, kind := range slices.Sorted(maps.Keys(cache)) {
			if name, found := credential(cache[kind]); found {
				f.warn(child(child(r.full(key), kind), name), name, "all tenants would share this cache, and its credentials travel to the instances of each; leave it out with cc_multi_tenant")
			}
		}
	}
}

// credential finds a filled key of a cache's credentials.
func credential(value any) (string, bool) {
	table, _ := value.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(table)) {
		s, _ := table[key].(string)
		for _, name := range []string{"accesskey", "secretkey", "sessiontoken", "accountkey", "privatekey", "accountname", "accessid", "credentialsfile"} {
			if s != "" && strings.EqualFold(key, name) {
				return key, true
			}
		}
	}
	return "", false
}
