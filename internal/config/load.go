// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"
)

// maxFile bounds what is read as a configuration.
const maxFile = 1 << 20

// Load reads and checks a file. The error is an *Error with every problem, or says that
// the file can't be read at all.
func Load(path string) (*Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if info.IsDir() || info.Size() > maxFile {
		return nil, fmt.Errorf("read the configuration: %s is not a file of at most 1 MiB", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	cfg, err := parse(path, string(raw), os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		cfg.Warnings = append(cfg.Warnings, fmt.Sprintf("%s:1: readable by others (mode %04o); it holds tokens: chmod 600", path, info.Mode().Perm()))
	}
	return cfg, nil
}

func parse(path, text string, env func(string) (string, bool)) (*Config, error) {
	table := map[string]any{}
	if _, err := toml.Decode(text, &table); err != nil {
		p := Problem{Path: path, Line: 1, Text: "not valid TOML: " + err.Error()}
		if at, ok := errors.AsType[toml.ParseError](err); ok {
			p.Line, p.Text = at.Position.Line, "not valid TOML: "+at.Message
			if at.Message == "" {
				p.Text = "not valid TOML: " + at.Error()
			}
		}
		return nil, &Error{[]Problem{p}}
	}
	f := &file{path: path, at: scan(text), env: env}
	cfg := f.config(table)
	if len(f.problems) > 0 {
		slices.SortStableFunc(f.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, &Error{f.problems}
	}
	cfg.Warnings = f.warnings
	return cfg, nil
}

func (f *file) config(table map[string]any) *Config {
	r := f.reader(table, "")
	cfg := &Config{
		Path:                       f.path,
		Concurrent:                 r.whole("concurrent", 50, 1, "concurrency"),
		CheckInterval:              r.seconds("check_interval", 3, 0.01),
		JobProgressInterval:        r.seconds("job_progress_poll_interval", 30, 0.01, "job_progress_interval"),
		MaxProvisioning:            r.whole("paas_max_concurrent_provisioning", 10, 1),
		MaxParked:                  r.seconds("paas_max_parked_seconds", 600, 1),
		MinBetweenLaunches:         r.seconds("paas_min_seconds_between_launches", 0, 0),
		KeepFinished:               r.yes("paas_finished_jobs_keep_resources", false),
		DecommissionLaunchFailures: r.yes("paas_decommission_launch_failures", true, "pass_decommision_launched_failures", "paas_decommission_launched_failures"),
		ListenAddress:              r.str("listen_address", ""),
		ListenToken:                r.secret("paas_listen_token", false),
		AdvertiseURL:               r.str("paas_advertise_url", ""),
		LogLevel:                   r.choice("log_level", "", "debug", "info", "warn", "warning", "error", "fatal", "panic"),
		LogFormat:                  r.choice("log_format", "", "text", "json", "runner"),
		RelayPath:                  r.filePath("paas_relay_path"),
		RelayImage:                 r.str("paas_relay_image", ""),
	}
	r.yes("paas_log_statistics", true)
	f.addresses(r, cfg)
	cfg.Runners = f.runners(r)
	f.stateFile(r, cfg)
	f.quota(r, cfg)
	f.unknownGlobals(r)
	return cfg
}

func (f *file) addresses(r *reader, cfg *Config) {
	if cfg.ListenAddress != "" {
		if _, _, err := net.SplitHostPort(cfg.ListenAddress); err != nil {
			r.bad("listen_address", "found %q, want host:port, such as 127.0.0.1:9252", cfg.ListenAddress)
		}
	}
	if cfg.AdvertiseURL != "" {
		if u, err := url.Parse(cfg.AdvertiseURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			r.bad("paas_advertise_url", "found %q, want an http:// or https:// URL", cfg.AdvertiseURL)
		}
	}
}

// stateFile is required: without it a restart would forget its jobs.
func (f *file) stateFile(r *reader, cfg *Config) {
	path := r.filePath("state_file")
	if path == "" {
		f.problem("state_file", "state_file", "missing; it is where running jobs are recorded. Add this line at the top of the file:\n\n  state_file = %q\n",
			"/var/lib/heptapod-paas-runner/state.db")
		return
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		r.bad("state_file", "%v", err)
		return
	}
	cfg.StateFile = abs
}

// quota is required: it is the ceiling of what may be paid for at once.
func (f *file) quota(r *reader, cfg *Config) {
	if _, there := r.table[secQuota]; !there {
		name := "my-runner"
		if len(cfg.Runners) > 0 && cfg.Runners[0].Name != "" {
			name = cfg.Runners[0].Name
		}
		r.taken[secQuota] = true
		f.problem(secQuota, secQuota, "missing; it limits what runs (and costs) at once. For as much as 4 jobs of flavor M add these lines above the first [[runners]]:\n\n"+
			"  [quota_computation]\n    reference_runner = %q\n    reference_flavor = \"M\"\n    reference_jobs_count = 4\n", name)
		return
	}
	q := r.sub(secQuota)
	if q == nil {
		return
	}
	cfg.Quota = Quota{
		ReferenceRunner: q.text("reference_runner"),
		ReferenceFlavor: q.text("reference_flavor"),
	}
	if _, there := q.table["reference_jobs_count"]; !there {
		q.bad("reference_jobs_count", "missing; it is required")
	}
	cfg.Quota.ReferenceJobs = q.whole("reference_jobs_count", 0, 1)
	q.leftovers(namesOf(secQuota))
	var names []string
	for _, rc := range cfg.Runners {
		names = append(names, rc.Name)
	}
	if ref := cfg.Quota.ReferenceRunner; ref != "" && len(names) > 0 && !slices.Contains(names, ref) {
		q.bad("reference_runner", "found %q, want the name of a [[runners]] section: %q%s", ref, names, nearest(ref, names))
	}
}

// unknownGlobals warns about keys that nobody reads: most are misspelled.
func (f *file) unknownGlobals(r *reader) {
	known := append(namesOf(secGlobal), secQuota, secRunner)
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		if r.taken[key] || slices.Contains(foreignGlobals(), key) {
			continue
		}
		if slices.Contains(namesOf(secRunner), key) || key == "job_trace_watch" {
			f.warn(key, "%s: has no effect here; it belongs into a [[runners]] section", key)
			continue
		}
		f.warn(key, "%s: unknown key%s", key, nearest(key, known))
	}
}

// leftovers reports keys of a table of ours that nobody reads.
func (r *reader) leftovers(known []string) {
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		if !r.taken[key] {
			r.bad(key, "unknown key%s", nearest(key, known))
		}
	}
}
