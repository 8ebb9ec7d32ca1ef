// SPDX-License-Identifier: Apache-2.0

// Package online asks the coordinators and clouds of a configuration whether the service
// could work with it: credentials and when they end, zones, flavors, and who else uses a
// runner. It is not part of the service, makes and removes nothing, and leaves no trace at a
// coordinator where that can be helped. The one idea: every question has a time limit and an
// answer of its own, so that everything that is wrong is found at once.
package online

import (
	"cmp"
	"context"
	"sync"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
)

const (
	defaultTimeout = 20 * time.Second
	soon           = 14 * 24 * time.Hour // before the end of a credential it is time to say so
	atOnce         = 8                   // tenants of one runner that are looked at side by side
)

// Level says what a finding means.
type Level string

// The levels, from what is well to what is not.
const (
	Good        Level = "good"
	NotAsked    Level = "not asked"   // could not be found out, and why
	Warning     Level = "warning"     // works now
	Unreachable Level = "unreachable" // nobody could be asked; it may be well
	Wrong       Level = "wrong"       // the service could not work so
)

// Finding is one thing that was found out about a runner. No secret is ever in it.
type Finding struct {
	Line   int // of the runner's section
	Runner string
	Level  Level
	Text   string
}

// Deps is what the questions are asked with.
type Deps struct {
	Coordinator func(config.Runner) (*coordinator.Client, error)
	Provisioner func(config.Runner) (cloud.Provisioner, error)
	// SystemID is the name under which coordinators know this manager; "" when none is
	// recorded: then nothing is asked that would make them record one.
	SystemID string
	Timeout  time.Duration // of each question; default 20 s
}

// Check asks everything about all runners side by side. The findings are in the order of
// the sections.
func Check(ctx context.Context, cfg *config.Config, deps Deps) []Finding {
	deps.Timeout = cmp.Or(deps.Timeout, defaultTimeout)
	parts := make([][]Finding, len(cfg.Runners))
	var all sync.WaitGroup
	for i, rc := range cfg.Runners {
		q := &questions{deps: deps, runner: rc}
		if rc.Name == cfg.Quota.ReferenceRunner {
			q.reference = cfg.Quota.ReferenceFlavor
		}
		all.Go(func() { parts[i] = q.ask(ctx) })
	}
	all.Wait()
	var out []Finding
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

// questions are those about one runner.
type questions struct {
	deps      Deps
	runner    config.Runner
	reference string // the flavor that the quota is computed from, if with this runner
}

// ask asks the coordinator and the cloud at the same time.
func (q *questions) ask(ctx context.Context) []Finding {
	var coordinating, paying []Finding
	client, err := q.deps.Coordinator(q.runner)
	if err != nil {
		coordinating = q.found(Wrong, "coordinator: %v", err)
	}
	var all sync.WaitGroup
	if client != nil {
		all.Go(func() {
			coordinating = q.registration(ctx, client)
			if coordinating[0].Level != Unreachable {
				coordinating = append(coordinating, q.traceWatch(ctx, client)...)
			}
		})
	}
	all.Go(func() { paying = q.cloud(ctx, client) })
	all.Wait()
	return append(coordinating, paying...)
}
