// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/pystate"
	"heptapod-paas-runner/internal/store"
)

// checkState looks at the place of the ledger, as the service would at its start, and
// tells what would be taken over from the Python program.
func checkState(cfg *config.Config, std streams) error {
	place, err := store.Look(cfg.StateFile)
	if err != nil {
		return err
	}
	if place.Old == nil {
		return nil
	}
	change, err := pystate.Import(place.Old, pystate.Config{Runners: cfg.Runners, Now: time.Now(), Random: rand.Reader})
	if err != nil {
		return err
	}
	std.say("%s: the state of the Python program: %s and %s are taken over when the service starts",
		place.Path, count(len(change.Jobs), "job"), count(len(change.Instances), "instance"))
	if absent := pystate.Absent(change); len(absent) > 0 {
		std.say("warning: %s: runners that are not in the configuration, and whose jobs are only kept until they are: %s", place.Path, strings.Join(absent, ", "))
	}
	return nil
}
