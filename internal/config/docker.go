// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Docker holds the keys of the executor local-docker.
type Docker struct {
	Host          string // "" = DOCKER_HOST, else Docker's own default
	CertPath      string // folder of ca.pem, cert.pem and key.pem; "" = what Docker's environment variables say
	PullPolicy    string // of the sub-runner's image
	DefaultFlavor string
	Flavors       []DockerFlavor // never empty
}

// DockerFlavor is a size of instance that the file defines.
type DockerFlavor struct {
	Name         string
	Weight       fleet.Weight
	CPUs         float64 // of each container; 0 = no limit
	Memory       int64   // bytes, of each container; 0 = no limit
	CgroupParent string
}

// When the sub-runner's image is pulled (`paas_docker_pull_policy`).
const (
	PullMissing = "if-not-present"
	PullAlways  = "always"
	PullNever   = "never"
)

// dockerTenant is whose instances those of an engine are: it knows no tenants.
const dockerTenant = "local-docker"

// Payer is the tenant of a runner that has one only, with the credential to act for it.
func (rc Runner) Payer() (id string, token secret.String) {
	if rc.Executor == ExecutorDocker {
		return dockerTenant, secret.String{}
	}
	return rc.Clever.OrgaID, rc.Clever.Token
}

// DefaultFlavor is that of jobs that do not choose.
func (rc Runner) DefaultFlavor() string {
	if rc.Executor == ExecutorDocker {
		return rc.Docker.DefaultFlavor
	}
	return rc.Clever.DefaultFlavor
}

// docker reads the keys of the executor local-docker.
func (f *file) docker(r *reader) Docker {
	d := Docker{
		Host: r.text("host"), CertPath: r.filePath("paas_docker_cert_path"), PullPolicy: r.choice("paas_docker_pull_policy"),
		DefaultFlavor: r.text("paas_docker_default_flavor"), Flavors: f.dockerFlavors(r),
	}
	raw, _ := r.table["host"].(string) // not what the environment put into it
	if d.Host != "" && !strings.HasPrefix(d.Host, "unix:///") && !regexp.MustCompile(`^tcp://[^/@]+$`).MatchString(d.Host) {
		r.bad("host", "found %s, want unix:///PATH or tcp://HOST:PORT", within(raw))
	}
	if d.CertPath != "" && strings.HasPrefix(d.Host, "unix:") {
		r.warn("paas_docker_cert_path", "has no effect with a unix socket")
	}
	if strings.HasPrefix(d.Host, "tcp:") && d.CertPath == "" {
		r.warn("host", "local-docker over tcp without paas_docker_cert_path: unless DOCKER_TLS_VERIFY is set, whoever reaches this port owns that computer")
	}
	var all []string
	for _, flavor := range d.Flavors {
		all = append(all, flavor.Name)
	}
	if len(all) > 0 && !slices.Contains(all, d.DefaultFlavor) {
		r.bad("paas_docker_default_flavor", "%q is not defined; there are: %s", d.DefaultFlavor, strings.Join(all, ", "))
	}
	return d
}

// dockerFlavors reads the table of sizes; without one there is M of weight 1.
func (f *file) dockerFlavors(r *reader) []DockerFlavor {
	sub := r.sub("paas_docker_flavors", "")
	if sub == nil {
		return []DockerFlavor{{Name: DefaultFlavor, Weight: fleet.Unit}}
	}
	var out []DockerFlavor
	for _, name := range slices.Sorted(maps.Keys(sub.table)) {
		table, ok := sub.table[name].(map[string]any)
		if !ok {
			sub.bad(name, "found %s, want a table of a flavor's name, such as [runners.paas_docker_flavors.L]", what(sub.table[name]))
			continue
		}
		if !regexp.MustCompile(`^[A-Za-z0-9_.-]{1,40}$`).MatchString(name) {
			sub.bad(name, "%.60q is no name of a flavor: want 1 to 40 letters, digits, and _ . -, as in [runners.paas_docker_flavors.L]", name)
			continue
		}
		out = append(out, f.dockerFlavor(name, f.reader("", sub.full(name), table)))
	}
	if len(out) == 0 {
		r.bad("paas_docker_flavors", "defines no flavor")
	}
	return out
}

func (f *file) dockerFlavor(name string, r *reader) DockerFlavor {
	out := DockerFlavor{Name: name}
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		value := r.table[key]
		switch key {
		case "weight":
			out.Weight = fleet.Weight(math.Round(r.amount(key, 0.001) * float64(fleet.Unit)))
		case "cpus":
			out.CPUs = r.amount(key, 0.01)
		case "memory":
			out.Memory = r.bytes(key)
		case "cgroup_parent":
			out.CgroupParent, _ = r.stringOf(found{name: key, value: value})
		default:
			r.bad(key, "unknown key, want one of: weight, cpus, memory, cgroup_parent")
		}
	}
	if _, there := r.table["weight"]; !there {
		r.bad("weight", "missing; it says what an instance of flavor %s counts against the quota", name)
	}
	return out
}

// amount takes a number that may have a fraction.
func (r *reader) amount(key string, least float64) float64 {
	n := math.NaN()
	switch v := r.table[key].(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	}
	if !(n >= least && n <= 1e6) {
		r.bad(key, "found %s, want a number from %v to 1000000%s", what(r.table[key]), least, unquoted(r.table[key]))
		return 1 // so that nothing else is said about it
	}
	return n
}

// leastMemory is what Docker gives a container at least.
const leastMemory = 6 << 20

// bytes takes an amount of memory as Docker writes it: a number with k, m or g behind it.
func (r *reader) bytes(key string) int64 {
	text, isText := r.table[key].(string)
	if !isText {
		r.bad(key, "found %s, want a string: an amount such as \"512m\" or \"4g\", at least 6m", what(r.table[key]))
		return 0
	}
	parts := regexp.MustCompile(`^([0-9]{1,12})([kmg]?)b?$`).FindStringSubmatch(strings.ToLower(text))
	if parts != nil {
		n, err := strconv.ParseInt(parts[1], 10, 64)
		shift := map[string]int{"k": 10, "m": 20, "g": 30}[parts[2]]
		if err == nil && n <= 1<<50>>shift && n<<shift >= leastMemory {
			return n << shift
		}
	}
	r.bad(key, "found %s, want an amount such as \"512m\" or \"4g\", at least 6m", within(text))
	return 0
}

// adviseEngine says what jobs may do on an engine that is not theirs alone.
func adviseEngine(r *reader) {
	r.warn("executor", "local-docker: jobs run beside everything else on this engine. One that gets the engine's socket, or privileged = true, owns the computer, and what it starts there is not removed with its instance: for trusted jobs only")
}
