// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// leastPause keeps what is asked again and again from being asked without pause.
const leastPause = 0.01

// Keys lists every key that this program reads.
func Keys() []Key {
	return slices.Concat(globalKeys(), quotaKeys(), keysOf(secRunner), watchKeys())
}

// keysOf lists those of one section: it is asked often, for each key of a file.
func keysOf(section string) []Key {
	switch section {
	case secGlobal:
		return globalKeys()
	case secQuota:
		return quotaKeys()
	case secWatch:
		return watchKeys()
	}
	return slices.Concat(runnerKeys(), dockerKeys(), cleverKeys())
}

func globalKeys() []Key {
	s := secGlobal
	return []Key{
		{Section: s, Name: "state_file", Kind: Path, Required: true, Source: Seed},
		{Section: s, Name: "concurrent", Kind: Count, Default: DefaultConcurrent, Least: 1, Cut: true, Older: []string{"concurrency"}, Source: Seed},
		{Section: s, Name: "check_interval", Kind: Seconds, Default: DefaultCheckInterval, Source: Seed},
		{Section: s, Name: "job_progress_poll_interval", Kind: Seconds, Default: DefaultJobProgressInterval, Least: leastPause, Older: []string{"job_progress_interval"}, Source: Seed},
		{Section: s, Name: "paas_max_concurrent_provisioning", Kind: Count, Default: DefaultMaxProvisioning, Least: 1, Source: Seed},
		{Section: s, Name: "paas_max_parked_seconds", Kind: Seconds, Default: DefaultMaxParked, Least: 1, Source: New},
		{Section: s, Name: "paas_min_seconds_between_launches", Kind: Seconds, Default: DefaultMinBetweenLaunches, Source: Python},
		{Section: s, Name: "paas_finished_jobs_keep_resources", Kind: Switch, Default: DefaultKeepFinished, Source: Seed},
		{Section: s, Name: "paas_decommission_launch_failures", Kind: Switch, Default: DefaultDecommissionLaunchFailures, Older: []string{"pass_decommision_launched_failures", "paas_decommission_launched_failures"}, Source: Python},
		{Section: s, Name: "paas_log_statistics", Kind: Switch, Default: true, Source: Python},
		{Section: s, Name: "listen_address", Kind: Text, Source: GitLab},
		{Section: s, Name: "paas_listen_token", Kind: Secret, Source: New},
		{Section: s, Name: "paas_advertise_url", Kind: URL, Source: New},
		{Section: s, Name: "paas_relay_path", Kind: Path, Source: New},
		{Section: s, Name: "paas_relay_image", Kind: Text, Source: New},
		{Section: s, Name: "log_level", Kind: Choice, Default: "info", Choices: []string{"debug", "info", "warn", "error"}, Source: GitLab},
		{Section: s, Name: "log_format", Kind: Choice, Default: "text", Choices: []string{"text", "json"}, Source: GitLab},
		{Section: s, Name: "quota_computation", Kind: Table, Required: true, Source: Seed},
		{Section: s, Name: "job_trace_watch", Kind: Table, Older: []string{"paas_job_trace_watch"}, Source: Seed},
		{Section: s, Name: "runners", Kind: Table, Required: true, Source: GitLab},
	}
}

func quotaKeys() []Key {
	s := secQuota
	return []Key{
		{Section: s, Name: "reference_runner", Kind: Text, Required: true, Source: Seed},
		{Section: s, Name: "reference_flavor", Kind: Text, Required: true, Source: Seed},
		{Section: s, Name: "reference_jobs_count", Kind: Count, Required: true, Least: 1, Source: Seed},
	}
}

func runnerKeys() []Key {
	s := secRunner
	return []Key{
		{Section: s, Name: "name", Kind: Text, Required: true, Source: GitLab, Forwarded: true},
		{Section: s, Name: "url", Kind: URL, Required: true, Source: GitLab, Forwarded: true},
		{Section: s, Name: "token", Kind: Secret, Required: true, Source: GitLab},
		{Section: s, Name: "executor", Kind: Text, Required: true, Source: Seed, Forwarded: true},
		{Section: s, Name: "limit", Kind: Count, Default: DefaultLimit, Source: GitLab, Forwarded: true},
		{Section: s, Name: "request_concurrency", Kind: Count, Default: DefaultRequestConcurrency, Source: GitLab, Forwarded: true},
		{Section: s, Name: "tls-ca-file", Kind: Path, Source: GitLab, Forwarded: true},
		{Section: s, Name: "tls-cert-file", Kind: Path, Source: GitLab, Forwarded: true},
		{Section: s, Name: "tls-key-file", Kind: Path, Source: GitLab, Forwarded: true},
		{Section: s, Name: "admission", Kind: Choice, Default: DefaultAdmission, Choices: []string{AdmissionPark, AdmissionStrict}, Source: New},
		{Section: s, Name: "sub_runner", Kind: Choice, Default: DefaultSubRunner, Choices: []string{ModeRelay, ModeExec}, Source: New},
		{Section: s, Name: "heptapod_runner_main_image", Kind: Text, Default: DefaultMainImage, Source: Python},
		{Section: s, Name: "heptapod_paas_runner_helper_image", Kind: Text, Source: Python},
		{Section: s, Name: "paas_keep_resources_for_reuse_seconds", Kind: Seconds, Source: Python},
		{Section: s, Name: "paas_owner", Kind: Text, Source: New},
		{Section: s, Name: "paas_relay_subnet", Kind: Text, Source: New},
		{Section: s, Name: "paas_dependency_proxy", Kind: Switch, Default: true, Source: New},
		{Section: s, Name: "job_trace_watch", Kind: Table, Older: []string{"paas_job_trace_watch"}, Source: Seed},
	}
}

func dockerKeys() []Key {
	s := secRunner
	return []Key{
		{Section: s, Name: "host", Kind: Text, Source: Python},
		{Section: s, Name: "paas_docker_cert_path", Kind: Path, Source: New},
		{Section: s, Name: "paas_docker_pull_policy", Kind: Choice, Default: DefaultPullPolicy, Choices: []string{PullMissing, PullAlways, PullNever}, Source: New},
		{Section: s, Name: "paas_docker_default_flavor", Kind: Text, Default: DefaultFlavor, Source: New},
		{Section: s, Name: "paas_docker_flavors", Kind: Table, Source: New},
	}
}

func cleverKeys() []Key {
	s := secRunner
	return []Key{
		{Section: s, Name: "cc_orga_id", Kind: Text, Required: true, Source: Seed},
		{Section: s, Name: "cc_token", Kind: Secret, Required: true, Source: Seed},
		{Section: s, Name: "cc_auth", Kind: Choice, Default: DefaultAuth, Choices: []string{AuthToken, AuthBearer, AuthOAuth1}, Source: New},
		{Section: s, Name: "cc_consumer_key", Kind: Text, Source: New},
		{Section: s, Name: "cc_consumer_secret", Kind: Secret, Source: New},
		{Section: s, Name: "cc_oauth_token", Kind: Secret, Source: New},
		{Section: s, Name: "cc_oauth_secret", Kind: Secret, Source: New},
		{Section: s, Name: "cc_oauth_signature", Kind: Choice, Default: DefaultOAuthSignature, Choices: []string{"plaintext", "hmac-sha512"}, Source: New},
		{Section: s, Name: "cc_git_user", Kind: Text, Source: New},
		{Section: s, Name: "cc_git_password", Kind: Secret, Source: New},
		{Section: s, Name: "cc_api_url", Kind: URL, Default: DefaultAPIURL, Source: Seed},
		{Section: s, Name: "cc_zone", Kind: Text, Default: DefaultZone, Source: Seed},
		{Section: s, Name: "cc_default_flavor", Kind: Text, Default: DefaultFlavor, Source: Seed},
		{Section: s, Name: "cc_max_flavor", Kind: Text, Source: Python},
		{Section: s, Name: "cc_allowed_flavors", Kind: List, Source: New},
		{Section: s, Name: "cc_flavor_context", Kind: Text, Default: DefaultFlavorContext, Source: Python},
		{Section: s, Name: "cc_flavor_name_prefix", Kind: Text, Source: Python},
		{Section: s, Name: "cc_instance_variant_uuid", Kind: Text, Default: DefaultVariantUUID, Source: Python},
		{Section: s, Name: "cc_auth_user", Kind: Text, Default: DefaultAuthUser, Source: Python},
		{Section: s, Name: "cc_deployment_repo_timeout", Kind: Seconds, Default: DefaultRepoTimeout, Least: leastPause, Source: Seed},
		{Section: s, Name: "cc_deployment_repo_wait_step", Kind: Seconds, Default: DefaultRepoWaitStep, Least: leastPause, Source: Seed},
		{Section: s, Name: "cc_extra_env", Kind: Table, Source: Seed},
		{Section: s, Name: "cc_multi_tenant", Kind: Switch, Default: false, Source: Seed},
		{Section: s, Name: "cc_gitlab_namespace_attributes_token", Kind: Secret, Source: Seed},
		{Section: s, Name: "cc_orga_id_attribute", Kind: Text, Default: DefaultOrgaIDAttribute, Source: Seed},
		{Section: s, Name: "cc_orga_token_attribute", Kind: Text, Default: DefaultOrgaTokenAttribute, Source: Seed},
	}
}

func watchKeys() []Key {
	s := secWatch
	return []Key{
		{Section: s, Name: "token", Kind: Secret, Source: Seed},
		{Section: s, Name: "timeout_seconds", Kind: Seconds, Default: DefaultTraceTimeout, Least: 1, Older: []string{"timout_seconds"}, Source: Python},
		{Section: s, Name: "poll_step", Kind: Seconds, Default: DefaultTracePollStep, Least: leastPause, Source: Seed},
	}
}

// foreignGlobals are the global keys of gitlab-runner's file that are not read: accepted
// without a word, and not forwarded, like all global keys.
func foreignGlobals() []string {
	return []string{
		"session_server", "shutdown_timeout", "connection_max_age", "sentry_dsn", "user", "labels",
		"machine", "experimental",
	}
}

// foreignRunnerKeys are gitlab-runner's own keys of a [[runners]] section. They are
// forwarded like all keys that are not ours; the list keeps them from being taken for
// misspelled ones.
func foreignRunnerKeys() []string {
	return []string{
		"id", "token_obtained_at", "token_expires_at", "output_limit", "strict_check_interval",
		"unhealthy_requests_limit", "unhealthy_interval", "job_status_final_update_retry_limit", "labels",
		"shell", "builds_dir", "cache_dir", "clone_url", "environment", "proxy_exec",
		"pre_get_sources_script", "post_get_sources_script", "pre_clone_script", "post_clone_script",
		"pre_build_script", "post_build_script", "prepare_timeout", "get_sources_timeout",
		"debug_trace_disabled", "safe_directory_checkout", "clean_git_config", "step_runner_image",
		"use_slot_cgroups", "slot_cgroup_template", "feature_flags", "custom_build_dir", "artifact",
		"monitoring", "referees", "experimental", "cache", "docker", "machine", "autoscaler", "instance",
		"ssh", "parallels", "virtualbox", "kubernetes", "custom",
	}
}
