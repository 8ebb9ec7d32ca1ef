// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/api"
)

// A credential is shown when its end is near, or past.
func TestStatusShowsCredentialsThatEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	text := statusText(api.Status{At: now, Ready: true, Runners: []api.Runner{{Name: "clever", Credentials: []api.Credential{
		{Tenant: "orga_later", EndsAt: now.Add(credentialSoon + time.Second)},
		{Tenant: "orga_soon", EndsAt: now.Add(credentialSoon)},
		{Tenant: "*", EndsAt: now.Add(-time.Hour)},
	}}}})
	for _, want := range []string{
		"runner clever: the credential of orga_soon for the cloud ends at 2026-12-04T10:00:00Z\n",
		"runner clever: the credential of * for the cloud ends at 2026-11-20T09:00:00Z\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "orga_later") {
		t.Errorf("shown too early:\n%s", text)
	}
}

// What stands in no record holds weight too: where it comes from has to be seen.
func TestStatusTellsOfStrangers(t *testing.T) {
	t.Parallel()
	want := "in no record: hpd-job-abcdefghij-1, hpd-job-abcdefghij-2 (audit says more)\n"
	text := statusText(api.Status{Strangers: []string{"hpd-job-abcdefghij-1", "hpd-job-abcdefghij-2"}})
	if !strings.Contains(text, want) || strings.Contains(statusText(api.Status{}), "in no record") {
		t.Errorf("%q is not in\n%s", want, text)
	}
}

// What is wrong for one tenant stops nobody else, and so it does not read.
func TestRunnerState(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]api.Runner{
		"asking for jobs":                        {Polling: true},
		"asking for jobs, but: refused":          {Polling: true, Problem: "refused"},
		"refused":                                {Problem: "refused", Waits: "nothing"},
		"unreachable":                            {Polling: true, PollFailures: 2, Problem: "unreachable"},
		"the coordinator failed 1 time in a row": {Polling: true, PollFailures: 1},
		"not asking: waits for nothing":          {Waits: "nothing"},
		"idle":                                   {},
	} {
		if got := runnerState(r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
