// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
)

// configuration is what an operator would write for one organisation, with short
// intervals, so that a demo of seconds shows what takes minutes.
func (d *demo) configuration(address string) string {
	return fmt.Sprintf(`# The configuration of the demo.
state_file = %q
check_interval = 1
job_progress_interval = 1
listen_address = %q
paas_advertise_url = %q
paas_relay_path = %q

[quota_computation]
  reference_runner = "demo"
  reference_flavor = "M"
  reference_jobs_count = 4

[[runners]]
  name = "demo"
  url = %q
  token = "sim-runner-token"
  executor = "clever-docker"

  cc_api_url = %q
  cc_orga_id = "orga_sim"
  cc_token = "sim-cc-token"
  cc_deployment_repo_wait_step = 1

  [runners.cc_extra_env]
    CC_ENABLE_HEPTAPOD_RUNNER = "true"
  [runners.job_trace_watch]
    timeout_seconds = 60
    poll_step = 1
  [runners.docker]
    image = "debian:bookworm"
`, d.dir+"/state.db", address, "http://"+address, d.cfg.Relay, d.gitlab.url, d.clever.url+"/v2")
}

// open names the jobs and instances that the service has not done with: it lists
// neither closed jobs nor instances that are gone.
func (d *demo) open(ctx context.Context) ([]string, error) {
	var jobs []struct {
		ID    int64  `json:"id"`
		State string `json:"state"`
	}
	if err := d.service.call(ctx, "GET", "/api/v1/jobs", nil, &jobs); err != nil {
		return nil, err
	}
	var instances []struct {
		Key   string `json:"key"`
		State string `json:"state"`
	}
	if err := d.service.call(ctx, "GET", "/api/v1/instances", nil, &instances); err != nil {
		return nil, err
	}
	var out []string
	for _, j := range jobs {
		out = append(out, fmt.Sprintf("job %d is %s in the service, not closed", j.ID, j.State))
	}
	for _, i := range instances {
		out = append(out, fmt.Sprintf("instance %s is %s in the service, not gone", i.Key, i.State))
	}
	return out, nil
}
