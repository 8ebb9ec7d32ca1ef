// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A flavor of the configuration that there is not is told, in the log and by status: without
// the quota nothing is ever asked for, and without the default many jobs fail.
func TestFlavorsThatThereAreNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil         func(w *world)
		ready         bool
		log, problems string
	}{
		"reference": {
			func(w *world) { w.cfg.Quota.ReferenceFlavor = "m" }, false,
			`reference_flavor \"m\" of [quota_computation] is not available`, `there is no quota: reference_flavor "m" of [quota_computation] is not available`,
		},
		"default": {
			func(w *world) { w.cfg.Runners[0].Clever.DefaultFlavor = "QQ" }, true,
			`the default flavor \"QQ\" is not available: jobs that do not choose one fail; there are: XS, S, M`, "",
		},
		"none": {func(*world) {}, true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				defer w.close()
				c.spoil(w)
				w.begin("")
				time.Sleep(time.Minute)
				status := w.life.manager.Status()
				if reasons := strings.Join(status.Reasons, "\n"); status.Ready != c.ready || !strings.HasPrefix(reasons, c.problems) || c.problems == "" && reasons != "" {
					t.Errorf("ready %v, reasons %s", status.Ready, reasons)
				}
				const alarm = "the configuration names a flavor that there is not"
				if told := w.log.String(); strings.Contains(told, alarm) != (c.log != "") || !strings.Contains(told, c.log) {
					t.Errorf("told %s", told)
				}
				w.end()
			})
		})
	}
}
