// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/fleet"
)

// advise tells of what is allowed one by one, and makes no sense together. The service
// would run, and not as somebody means it: so these are warnings.
func (f *file) advise(r *reader, cfg *Config) {
	f.adviseConcurrent(r, cfg)
	for i := range cfg.Runners {
		rc := &cfg.Runners[i]
		rr := f.reader(secRunner, element(secRunner, i), nil)
		f.adviseMix(rr, rc, cfg.Runners[:i])
		f.adviseTimes(rr, rc)
		f.adviseFiles(rr, rc)
		f.adviseForwarded(rr, rc)
		if rc.Executor == ExecutorClever {
			f.adviseFlavors(rr, rc)
		}
		if rc.Executor == ExecutorDocker {
			adviseEngine(rr)
			if cfg.RelayImage != "" && rc.SubRunner == ModeRelay {
				r.bad("paas_relay_image", "local-docker builds no image to copy the relay into; leave it out, and set paas_relay_path if need be")
			}
		}
	}
	f.adviseQuota(cfg)
}

// usual are the flavors that Clever Cloud offers to runners, by their memory in GiB. What
// else there may be, only the cloud knows.
func usual() []fleet.Flavor {
	var out []fleet.Flavor
	for _, f := range []struct {
		name string
		gib  int
	}{{"XS", 2}, {"S", 4}, {"M", 8}, {"L", 12}, {"XL", 16}, {"2XL", 24}, {"3XL", 32}} {
		out = append(out, fleet.Flavor{Name: f.name, MemMiB: f.gib << 10, Weight: fleet.WeightOf(f.gib << 10)})
	}
	return out
}

// usualWeight is that of a flavor of a runner, when it is a usual one.
func usualWeight(rc *Runner, name string) (fleet.Weight, bool) {
	if rc == nil || rc.Executor != ExecutorClever || rc.Clever.FlavorContext != DefaultFlavorContext || rc.Clever.FlavorNamePrefix != "" {
		return 0, false
	}
	i := slices.IndexFunc(usual(), func(f fleet.Flavor) bool { return f.Name == name })
	if i < 0 {
		return 0, false
	}
	return usual()[i].Weight, true
}

func (cfg *Config) reference() *Runner {
	i := slices.IndexFunc(cfg.Runners, func(rc Runner) bool { return rc.Name == cfg.Quota.ReferenceRunner })
	if i < 0 {
		return nil
	}
	return &cfg.Runners[i]
}

// adviseConcurrent finds a weight where a number of jobs is meant: old documentation said
// to write one there.
func (f *file) adviseConcurrent(r *reader, cfg *Config) {
	key := "concurrent"
	if _, older := r.table["concurrency"]; older {
		key = "concurrency"
	}
	if _, there := r.table[key]; !there || cfg.Quota.ReferenceJobs == 0 {
		return
	}
	weight, known := usualWeight(cfg.reference(), cfg.Quota.ReferenceFlavor)
	quota := float64(weight) / float64(fleet.Unit) * float64(cfg.Quota.ReferenceJobs)
	most := int(quota * float64(fleet.Unit) / float64(usual()[0].Weight))
	written, fraction := r.table[key].(float64)
	switch {
	case fraction && written != math.Trunc(written):
		r.warn(key, "%v looks like a weight; it is a number of jobs, and %d is taken. The weight is limited by [quota_computation]", written, cfg.Concurrent)
	case known && cfg.Concurrent > cfg.Quota.ReferenceJobs && math.Abs(float64(cfg.Concurrent)-quota) < 1:
		r.warn(key, "%d looks like the weight of %d jobs of flavor %s; it is a number of jobs. The weight is limited by [quota_computation] already",
			cfg.Concurrent, cfg.Quota.ReferenceJobs, cfg.Quota.ReferenceFlavor)
	case known && cfg.Concurrent > max(most, DefaultConcurrent):
		r.warn(key, "%d looks like a weight; it is a number of jobs, and no more than %d of the smallest flavor fit into [quota_computation], which limits the weight",
			cfg.Concurrent, most)
	}
}

// adviseMix: the weights of two executors say nothing about each other.
func (f *file) adviseMix(r *reader, rc *Runner, before []Runner) {
	for _, other := range before {
		if other.Executor != rc.Executor && rc.Executor != "" && other.Executor != "" {
			r.warn("executor", "%s beside %s in line %d: their weights can't be compared, and one quota holds for both; run two services", rc.Executor, other.Executor, other.Line)
			return
		}
	}
}

func (f *file) adviseTimes(r *reader, rc *Runner) {
	if rc.TraceWatch.PollStep > rc.TraceWatch.Timeout {
		r.warn("job_trace_watch", "poll_step (%s) is longer than timeout_seconds (%s): jobs would be given up before they are looked at", rc.TraceWatch.PollStep, rc.TraceWatch.Timeout)
	}
	if rc.Executor == ExecutorClever && rc.Clever.RepoWaitStep > rc.Clever.RepoTimeout {
		r.warn("cc_deployment_repo_wait_step", "%s is longer than cc_deployment_repo_timeout (%s)", rc.Clever.RepoWaitStep, rc.Clever.RepoTimeout)
	}
}

// adviseWatch: a token belongs to one coordinator, and is shown to those of all runners
// that have none of their own.
func (f *file) adviseWatch(r *reader, watch TraceWatch, runners []Runner) {
	var shown []string
	for _, rc := range runners {
		if rc.TraceWatch.Token == watch.Token && rc.Coordinator != "" && !slices.Contains(shown, rc.Coordinator) {
			shown = append(shown, rc.Coordinator)
		}
	}
	if len(shown) > 1 && !watch.Token.Empty() {
		r.warn(r.written("job_trace_watch"), "its token is shown to several coordinators (%s); move it to the [[runners]] of the one that it belongs to, or remove it: it is not needed", strings.Join(shown, ", "))
	}
}

func (f *file) adviseFiles(r *reader, rc *Runner) {
	if mode, open := f.deps.readable(rc.TLSKeyFile); open {
		r.warn("tls-key-file", "%s is readable by others (mode %04o): chmod 600 it", rc.TLSKeyFile, mode)
	}
}

// adviseFlavors finds flavors that no job can get.
func (f *file) adviseFlavors(r *reader, rc *Runner) {
	c := rc.Clever
	for _, named := range []struct{ key, flavor string }{{"cc_default_flavor", c.DefaultFlavor}, {"cc_max_flavor", c.MaxFlavor}} {
		f.adviseFlavor(r, rc, named.key, named.flavor)
	}
	for _, name := range c.AllowedFlavors {
		f.adviseFlavor(r, rc, "cc_allowed_flavors", name)
	}
	byDefault, known := usualWeight(rc, c.DefaultFlavor)
	most, limited := usualWeight(rc, c.MaxFlavor)
	if known && limited && byDefault > most {
		r.warn("cc_default_flavor", "%s is larger than cc_max_flavor (%s): a job that does not choose is refused", c.DefaultFlavor, c.MaxFlavor)
	}
	if len(c.AllowedFlavors) == 0 {
		return
	}
	if !slices.Contains(c.AllowedFlavors, c.DefaultFlavor) {
		r.warn("cc_allowed_flavors", "cc_default_flavor (%s) is not among them: a job that does not choose is refused", c.DefaultFlavor)
	}
	var above []string
	for _, name := range c.AllowedFlavors {
		if weight, known := usualWeight(rc, name); known && limited && weight > most {
			above = append(above, name)
		}
	}
	if len(above) > 0 {
		r.warn("cc_allowed_flavors", "larger than cc_max_flavor (%s), and so refused: %s", c.MaxFlavor, strings.Join(above, ", "))
	}
}

// adviseFlavor finds a flavor that is probably misspelled.
func (f *file) adviseFlavor(r *reader, rc *Runner, key, name string) {
	if _, known := usualWeight(rc, name); known || name == "" || rc.Clever.FlavorContext != DefaultFlavorContext || rc.Clever.FlavorNamePrefix != "" {
		return
	}
	r.warn(key, "%q is none of the usual flavors: %s", name, flavorHint(name))
}

func flavorHint(name string) string {
	var names []string
	for _, f := range usual() {
		names = append(names, f.Name)
		if strings.EqualFold(f.Name, name) {
			return fmt.Sprintf("did you mean %s?", f.Name)
		}
	}
	return strings.Join(names, ", ")
}

// adviseQuota finds a quota that no job fits into.
func (f *file) adviseQuota(cfg *Config) {
	rc := cfg.reference()
	if rc == nil || rc.Executor != ExecutorClever || cfg.Quota.ReferenceJobs == 0 {
		return
	}
	q := &reader{file: f, path: secQuota}
	f.adviseFlavor(q, rc, "reference_flavor", cfg.Quota.ReferenceFlavor)
	weight, known := usualWeight(rc, cfg.Quota.ReferenceFlavor)
	if !known {
		return
	}
	quota := weight * fleet.Weight(cfg.Quota.ReferenceJobs)
	for i := range cfg.Runners {
		other := &cfg.Runners[i]
		if least, known := usualWeight(other, other.Clever.DefaultFlavor); known && least > quota {
			f.reader(secRunner, element(secRunner, i), nil).warn("cc_default_flavor",
				"%s weighs %s, more than the whole quota (%s): a job that does not choose is refused", other.Clever.DefaultFlavor, least, quota)
		}
	}
}
