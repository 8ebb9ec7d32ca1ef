// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/config"
)

// statusCmd is `status`.
type statusCmd struct {
	asking `embed:""`
}

// asking is how every command that asks the running service is told which one.
type asking struct {
	Config  string `short:"c" xor:"where" placeholder:"CONFIG" help:"The configuration file of the service: its listen_address is asked."`
	Address string `short:"a" xor:"where" placeholder:"HOST:PORT" help:"The address to ask."`
	JSON    bool   `name:"json" help:"Print the answer as JSON."`
}

// Help is the text below the flags.
func (*statusCmd) Help() string {
	return `Exit code 4 means that no service answers.

Examples:

    heptapod-paas-runner status --config paas.toml
    heptapod-paas-runner status --address 127.0.0.1:8097 --json | jq .quota`
}

// Run asks and prints.
func (c *statusCmd) Run(ctx context.Context, std streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return unreachable(err)
	}
	if c.JSON {
		return std.json(status)
	}
	_, err = io.WriteString(std.out, statusText(status))
	return err
}

// client finds out whom to ask, and with which token.
func (c *asking) client() (*api.Client, error) {
	where := api.ClientConfig{Address: c.Address}
	if c.Address == "" {
		if c.Config == "" {
			return nil, &exitError{codeUsage, errors.New("say which service: --config CONFIG or --address HOST:PORT")}
		}
		cfg, err := config.Load(c.Config)
		if err != nil {
			return nil, &exitError{codeInvalid, err}
		}
		if cfg.ListenAddress == "" {
			return nil, &exitError{codeUnreachable, fmt.Errorf(`%s has no listen_address, so the service can't be asked; add: listen_address = "127.0.0.1:8097"`, c.Config)}
		}
		where = api.ClientConfig{Address: cfg.ListenAddress, Token: cfg.ListenToken}
	}
	client, err := api.NewClient(where)
	if err != nil {
		return nil, &exitError{codeUsage, err}
	}
	return client, nil
}

// unreachable gives an error its exit code when no service answered.
func unreachable(err error) error {
	if errors.Is(err, api.ErrUnreachable) {
		return &exitError{codeUnreachable, err}
	}
	return err
}

// credentialSoon is how long before its end a credential is shown.
const credentialSoon = 14 * 24 * time.Hour

// statusText is the answer for people.
func statusText(s api.Status) string {
	var b strings.Builder
	state := "ready"
	if !s.Ready {
		state = "not ready: " + strings.Join(cells(s.Reasons), "; ")
	}
	fmt.Fprintf(&b, "heptapod-paas-runner %s, %s\n", cell(s.Version), state)
	if s.StartedAt != nil {
		fmt.Fprintf(&b, "running for %s\n", age(s.At, s.StartedAt))
	}
	fmt.Fprintf(&b, "quota %s of %s, jobs %d of %d, provisioning %d of %d\n",
		cell(s.Quota.Used), cell(s.Quota.Total), s.Concurrent.Used, s.Concurrent.Limit, s.Provisioning.Used, s.Provisioning.Limit)
	if s.Fuse != "" {
		fmt.Fprintf(&b, "FUSE BLOWN, nothing unrecorded is destroyed: %s\n", cell(s.Fuse))
	}
	if len(s.Strangers) > 0 {
		fmt.Fprintf(&b, "in no record: %s (audit says more)\n", strings.Join(cells(s.Strangers), ", "))
	}
	for _, k := range s.Breakers {
		if k.State != "closed" {
			fmt.Fprintf(&b, "NOT MADE: flavor %s for %s in %s, %s since %s (%s in a row): %s\n",
				cell(k.Flavor), cell(k.Tenant), cell(k.Zone), cell(k.State), age(s.At, k.Since), count(k.Failures, "failure"), cell(k.Problem))
		}
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(texts ...string) { fmt.Fprintln(w, strings.Join(cells(texts), "\t")) }
	fmt.Fprintln(w)
	line("RUNNER", "EXECUTOR", "STATE")
	for _, r := range s.Runners {
		line(r.Name, r.Executor, runnerState(r))
	}
	for _, r := range s.Runners {
		for _, c := range r.Credentials {
			if c.EndsAt.Sub(s.At) <= credentialSoon {
				fmt.Fprintln(w)
				line(fmt.Sprintf("runner %s: the credential of %s for the cloud ends at %s", r.Name, c.Tenant, c.EndsAt.Format(time.RFC3339)))
			}
		}
	}
	fmt.Fprintln(w)
	line("JOB", "RUNNER", "STATE", "FLAVOR", "AGE", "PROJECT", "WAITS FOR")
	for _, j := range s.Jobs {
		line(fmt.Sprint(j.ID), j.Runner, j.State, j.Flavor, age(s.At, j.AcquiredAt), j.Project, j.WaitsFor)
	}
	fmt.Fprintln(w)
	line("INSTANCE", "STATE", "FLAVOR", "AGE", "LAST ERROR")
	for _, i := range s.Instances {
		line(i.Key, i.State, i.Flavor, age(s.At, i.IntendedAt), i.LastError)
	}
	_ = w.Flush() // into memory
	return b.String()
}

func runnerState(r api.Runner) string {
	switch {
	case r.Problem != "" && r.Polling && r.PollFailures == 0:
		return "asking for jobs, but: " + r.Problem // it may be that of one tenant
	case r.Problem != "":
		return r.Problem
	case r.PollFailures > 0:
		return fmt.Sprintf("the coordinator failed %s in a row", count(r.PollFailures, "time"))
	case r.Waits != "":
		return "not asking: waits for " + r.Waits
	case r.Polling:
		return "asking for jobs"
	}
	return "idle"
}

// age is how long ago something was, in whole seconds.
func age(now time.Time, then *time.Time) string {
	if then == nil {
		return "-"
	}
	return now.Sub(*then).Round(time.Second).String()
}
