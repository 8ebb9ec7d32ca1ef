// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"cmp"
	"runtime"
)

// info is what a coordinator is told about us. It drops jobs that need a feature
// which is not in the list, so these are the features of the sub-runner: those of
// gitlab-runner 17.9 with the docker executor. two_phase_job_commit is left out:
// with it a granted job would not be ours until we said so within two minutes.
type info struct {
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	Platform     string          `json:"platform"`
	Architecture string          `json:"architecture"`
	Executor     string          `json:"executor"`
	Shell        string          `json:"shell"`
	Features     map[string]bool `json:"features"`
	Config       infoConfig      `json:"config"`
}

type infoConfig struct {
	GPUs string `json:"gpus"`
}

func newInfo(version string) info {
	return info{
		Name: program, Version: cmp.Or(version, "unknown"),
		Platform: runtime.GOOS, Architecture: runtime.GOARCH,
		Executor: "docker", Shell: "bash",
		Features: map[string]bool{
			"artifacts":                 true,
			"artifacts_exclude":         true,
			"cache":                     true,
			"cancel_gracefully":         true,
			"cancelable":                true,
			"fallback_cache_keys":       true,
			"image":                     true,
			"image_executor_opts":       true,
			"masking":                   true,
			"multi_build_steps":         true,
			"native_steps_integration":  true,
			"proxy":                     false,
			"raw_variables":             true,
			"refspecs":                  true,
			"return_exit_code":          true,
			"service_executor_opts":     true,
			"service_multiple_aliases":  true,
			"service_variables":         true,
			"services":                  true,
			"session":                   true,
			"shared":                    false,
			"terminal":                  true,
			"trace_checksum":            true,
			"trace_reset":               true,
			"trace_size":                true,
			"upload_multiple_artifacts": true,
			"upload_raw_artifacts":      true,
			"variables":                 true,
			"vault_secrets":             true,
		},
	}
}
