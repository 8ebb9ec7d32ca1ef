// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// leastCheckInterval is below what anybody asks for on purpose: gitlab-runner's own
// registration writes 0, which means its default.
const leastCheckInterval = 10 * time.Millisecond

// config reads the whole file.
func (f *file) config(r *reader) *Config {
	cfg := &Config{
		Path:                       f.path,
		StateFile:                  f.stateFile(r),
		Concurrent:                 r.count("concurrent"),
		CheckInterval:              r.seconds("check_interval"),
		JobProgressInterval:        r.seconds("job_progress_poll_interval"),
		MaxProvisioning:            r.count("paas_max_concurrent_provisioning"),
		MaxParked:                  r.seconds("paas_max_parked_seconds"),
		MinBetweenLaunches:         r.seconds("paas_min_seconds_between_launches"),
		KeepFinished:               r.yes("paas_finished_jobs_keep_resources"),
		DecommissionLaunchFailures: r.yes("paas_decommission_launch_failures"),
		ListenAddress:              f.listenAddress(r),
		ListenToken:                r.secret("paas_listen_token"),
		AdvertiseURL:               r.url("paas_advertise_url"),
		RelayPath:                  r.filePath("paas_relay_path"),
		RelayImage:                 r.image("paas_relay_image"),
	}
	if cfg.CheckInterval < leastCheckInterval {
		cfg.CheckInterval = DefaultCheckInterval
	}
	r.yes("paas_log_statistics")
	if r.has("paas_log_statistics") {
		r.warn("paas_log_statistics", "accepted, without effect: /metrics and status tell more")
	}
	f.log(r, cfg)
	if cfg.AdvertiseURL != "" && cfg.ListenAddress == "" {
		r.warn("paas_advertise_url", "has no effect without listen_address")
	}
	cfg.Runners = f.runners(r)
	cfg.Quota = f.quota(r, cfg.Runners)
	r.unknownGlobals()
	f.advise(r, cfg)
	return cfg
}

// log takes level and format in gitlab-runner's words too. What the file does not say
// stays empty, so that the command line can tell.
func (f *file) log(r *reader, cfg *Config) {
	level := r.choice("log_level", "warning", "warn", "critical", "error", "fatal", "error", "panic", "error")
	format := r.choice("log_format", "runner", "text")
	if r.has("log_level") {
		cfg.LogLevel = level
	}
	if r.has("log_format") {
		cfg.LogFormat = format
	}
}

func (f *file) listenAddress(r *reader) string {
	address := r.text("listen_address")
	if address == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(address)
	_, bad := strconv.ParseUint(port, 10, 16)
	if numbers := strings.Trim(host, "0123456789.") == ""; err != nil || bad != nil || host != "" && numbers && net.ParseIP(host) == nil {
		r.bad("listen_address", "found %q, want host:port, such as 127.0.0.1:9252", r.table["listen_address"])
	}
	return address
}

// stateFile is required: without it a restart would forget its jobs.
func (f *file) stateFile(r *reader) string {
	if !r.has("state_file") {
		r.taken["state_file"] = true
		r.missing("state_file", "it is where running jobs are recorded. Add this line at the top of the file:\n\n"+
			"  state_file = \"/var/lib/heptapod-paas-runner/state.db\"\n")
		return ""
	}
	path := r.filePath("state_file")
	if path == "" {
		return "" // told already
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		r.bad("state_file", "%v", err)
	}
	r.elsewhere(absolute)
	return absolute
}

// elsewhere reports a state file that would be left behind: the Python program took a relative
// path from the folder that it was started in, and all that it looked after is recorded there.
func (r *reader) elsewhere(absolute string) {
	written, _ := r.table["state_file"].(string)
	here, err := filepath.Abs(written)
	d := r.file.deps
	if err != nil || here == absolute || filepath.IsAbs(written) || reference.MatchString(written) || d.load == nil || d.mode == nil {
		return
	}
	if _, err := d.mode(absolute); err == nil {
		return // there is one
	}
	if old, _, _ := d.load(here); strings.HasPrefix(strings.TrimSpace(old), "{") {
		r.absent("state_file", "found %q, which starts at the folder of this file, and there is none; but %s, in the working folder, from which the Python program took it, looks like its state: write the whole path", written, here)
	}
}

// quota is required: it is the ceiling of what may be paid for at once.
func (f *file) quota(r *reader, runners []Runner) Quota {
	if !r.has(secQuota) {
		r.taken[secQuota] = true
		name := "my-runner"
		if len(runners) > 0 && runners[0].Name != "" {
			name = runners[0].Name
		}
		r.missing(secQuota, "it limits what runs (and costs) at once. For as much as 4 jobs of flavor M add these lines above the first [[runners]]:\n\n"+
			"  [quota_computation]\n    reference_runner = "+strconv.Quote(name)+"\n    reference_flavor = \"M\"\n    reference_jobs_count = 4\n")
		return Quota{}
	}
	q := r.sub(secQuota, secQuota)
	if q == nil {
		return Quota{}
	}
	out := Quota{ReferenceRunner: q.text("reference_runner"), ReferenceFlavor: q.text("reference_flavor"), ReferenceJobs: q.count("reference_jobs_count")}
	q.leftovers()
	var known []string
	for _, rc := range runners {
		if rc.Name != "" {
			known = append(known, rc.Name)
		}
	}
	if out.ReferenceRunner != "" && len(known) > 0 && !slices.Contains(known, out.ReferenceRunner) {
		q.bad("reference_runner", "found %q, want the name of a [[runners]] section: %q%s", q.table["reference_runner"], known, hint(out.ReferenceRunner, known))
	}
	q.dockerFlavor(out, runners)
	return out
}

// dockerFlavor checks the flavor of a quota against those that the file itself defines.
func (r *reader) dockerFlavor(q Quota, runners []Runner) {
	i := slices.IndexFunc(runners, func(rc Runner) bool { return rc.Name == q.ReferenceRunner })
	if q.ReferenceFlavor == "" || i < 0 || len(runners[i].Docker.Flavors) == 0 {
		return
	}
	var names []string
	for _, f := range runners[i].Docker.Flavors {
		names = append(names, f.Name)
	}
	if !slices.Contains(names, q.ReferenceFlavor) {
		r.bad("reference_flavor", "%q is no flavor of runner %q; there are: %s", q.ReferenceFlavor, q.ReferenceRunner, strings.Join(names, ", "))
	}
}
