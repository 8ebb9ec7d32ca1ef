// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// Key is one key that this program knows. The table below drives the search for unknown
// keys and their near misses, and a test holds docs/configuration.md to it.
type Key struct {
	Section string // "" = global, else the table it stands in
	Name    string
	Default string // as documented; "required" or "none"
	Alias   bool   // another spelling, warned about
	Prefer  string // of an alias: the spelling to use
}

// Sections of the file that hold keys of ours.
const (
	secGlobal = ""
	secQuota  = "quota_computation"
	secRunner = "runners"
	secWatch  = "runners.job_trace_watch"
)

// Keys lists every key that this program reads.
func Keys() []Key {
	return slices.Concat(globalKeys(), runnerKeys())
}

func globalKeys() []Key {
	g := secGlobal
	return []Key{
		{g, "state_file", "required", false, ""},
		{g, "concurrent", "50", false, ""},
		{g, "concurrency", "50", true, "concurrent"},
		{g, "check_interval", "3", false, ""},
		{g, "job_progress_poll_interval", "30", false, ""},
		{g, "job_progress_interval", "30", true, "job_progress_poll_interval"},
		{g, "paas_max_concurrent_provisioning", "10", false, ""},
		{g, "paas_max_parked_seconds", "600", false, ""},
		{g, "paas_min_seconds_between_launches", "0", false, ""},
		{g, "paas_finished_jobs_keep_resources", "false", false, ""},
		{g, "paas_decommission_launch_failures", "true", false, ""},
		{g, "pass_decommision_launched_failures", "true", true, "paas_decommission_launch_failures"},
		{g, "paas_decommission_launched_failures", "true", true, "paas_decommission_launch_failures"},
		{g, "paas_log_statistics", "true", false, ""},
		{g, "listen_address", "none", false, ""},
		{g, "paas_listen_token", "none", false, ""},
		{g, "paas_listen_token_file", "none", false, ""},
		{g, "paas_advertise_url", "none", false, ""},
		{g, "paas_relay_path", "none", false, ""},
		{g, "paas_relay_image", "none", false, ""},
		{g, "log_level", "info", false, ""},
		{g, "log_format", "text", false, ""},
		{secQuota, "reference_runner", "required", false, ""},
		{secQuota, "reference_flavor", "required", false, ""},
		{secQuota, "reference_jobs_count", "required", false, ""},
	}
}

func runnerKeys() []Key {
	r := secRunner
	return []Key{
		{r, "name", "required", false, ""},
		{r, "url", "required", false, ""},
		{r, "token", "required", false, ""},
		{r, "token_file", "none", false, ""},
		{r, "executor", "required", false, ""},
		{r, "limit", "0", false, ""},
		{r, "request_concurrency", "1", false, ""},
		{r, "tls-ca-file", "none", false, ""},
		{r, "tls-cert-file", "none", false, ""},
		{r, "tls-key-file", "none", false, ""},
		{r, "admission", "park", false, ""},
		{r, "sub_runner", "relay", false, ""},
		{r, "heptapod_runner_main_image", DefaultMainImage, false, ""},
		{r, "heptapod_paas_runner_helper_image", "none", false, ""},
		{r, "paas_keep_resources_for_reuse_seconds", "0", false, ""},
		{r, "paas_owner", "none", false, ""},
		{r, "paas_relay_subnet", "none", false, ""},
		{r, "cc_api_url", "https://api.clever-cloud.com/v2", false, ""},
		{r, "cc_zone", "par", false, ""},
		{r, "cc_default_flavor", "M", false, ""},
		{r, "cc_max_flavor", "none", false, ""},
		{r, "cc_flavor_context", "heptapod-runner", false, ""},
		{r, "cc_flavor_name_prefix", "none", false, ""},
		{r, "cc_instance_variant_uuid", "70d676a0-a775-4dc9-a43d-3121036e8515", false, ""},
		{r, "cc_auth_user", "Jenkins", false, ""},
		{r, "cc_deployment_repo_timeout", "20", false, ""},
		{r, "cc_deployment_repo_wait_step", "2", false, ""},
		{r, "cc_orga_id", "required", false, ""},
		{r, "cc_token", "required", false, ""},
		{r, "cc_token_file", "none", false, ""},
		{r, "cc_extra_env", "none", false, ""},
		{r, "cc_multi_tenant", "false", false, ""},
		{r, "cc_gitlab_namespace_attributes_token", "none", false, ""},
		{r, "cc_gitlab_namespace_attributes_token_file", "none", false, ""},
		{r, "cc_orga_id_attribute", "cc_orga_id", false, ""},
		{r, "cc_orga_token_attribute", "cc_orga_token", false, ""},
		{r, "job_trace_watch", "none", false, ""},
		{r, "paas_job_trace_watch", "none", true, "job_trace_watch"},
		{secWatch, "token", "none", false, ""},
		{secWatch, "token_file", "none", false, ""},
		{secWatch, "timeout_seconds", "300", false, ""},
		{secWatch, "timout_seconds", "300", true, "timeout_seconds"},
		{secWatch, "poll_step", "10", false, ""},
	}
}

// foreignGlobals are the global keys of gitlab-runner's own file: accepted, without
// effect here, and not forwarded.
func foreignGlobals() []string {
	return []string{
		"session_server", "shutdown_timeout", "connection_max_age", "sentry_dsn", "user", "labels",
		"machine", "experimental",
	}
}

// forwardedToo are keys of ours that the sub-runner gets as well.
func forwardedToo() []string {
	return []string{"name", "url", "token", "executor", "limit", "request_concurrency", "tls-ca-file", "tls-cert-file", "tls-key-file"}
}

func namesOf(section string) []string {
	var out []string
	for _, k := range Keys() {
		if k.Section == section {
			out = append(out, k.Name)
		}
	}
	return out
}
