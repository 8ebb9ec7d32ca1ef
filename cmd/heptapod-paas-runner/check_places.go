// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/manager"
	"heptapod-paas-runner/internal/pystate"
	"heptapod-paas-runner/internal/store"
)

// checkPlaces finds what would keep the service from starting on this computer, though the
// file alone is good. Of a file that is not whole only its ledger's place is looked at.
func checkPlaces(cfg *config.Config, whole bool, std streams) []string {
	var problems []string
	bad := func(place string, err error) {
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", place, err))
		}
	}
	if cfg.StateFile != "" {
		bad(cfg.Place("state_file"), checkState(cfg, whole, std))
	}
	if !whole {
		return problems
	}
	_, err := relayBinary(cfg)
	if cfg.RelayPath != "" {
		bad(cfg.Place("paas_relay_path"), err)
	} else if err != nil {
		std.say("warning: %s: the service would not start on this computer: %v", cfg.Path, err)
	}
	clients := manager.Clients{Version: version(), Jitter: mathrand.Float64}
	for _, rc := range cfg.Runners {
		place := fmt.Sprintf("%s:%d: runner %q", cfg.Path, rc.Line, rc.Name)
		_, err := clients.Coordinator(rc)
		bad(place, err)
		_, err = clients.Provisioner(rc)
		bad(place, err)
	}
	return problems
}

// checkState looks at the place of the ledger, as the service would at its start, and
// tells what would be taken over from the Python program, when the file is whole.
func checkState(cfg *config.Config, whole bool, std streams) error {
	place, err := store.Look(cfg.StateFile)
	if err != nil {
		return err
	}
	if place.Old == nil || !whole {
		return nil
	}
	change, err := pystate.Import(place.Old, pystate.Config{Runners: cfg.Runners, Now: time.Now(), Random: rand.Reader})
	if err != nil {
		return err
	}
	std.say("%s: the state of the Python program: %s and %s are taken over when the service starts",
		place.Path, count(len(change.Jobs), "job"), count(len(change.Instances), "instance"))
	if unread := pystate.Unread(change); len(unread) > 0 {
		std.say("warning: %s: keys that no release of the Python program is known to write, and which are not taken over: %s", place.Path, strings.Join(unread, ", "))
	}
	if absent := pystate.Absent(change); len(absent) > 0 {
		std.say("warning: %s: runners that are not in the configuration, and whose jobs are only kept until they are: %s", place.Path, strings.Join(absent, ", "))
	}
	return nil
}
