// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"testing/synctest"
	"time"
)

// plain is the main job: different flavors, a failing script, an unknown flavor.
func (w *world) plain() {
	w.queue(map[string]any{"script": []string{"echo hello"}, "virtual_seconds": 40}, "success")
	w.queue(map[string]any{"script": []string{"exit 3"}, "virtual_seconds": 5, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"}}, "failed")
	w.queue(map[string]any{"script": []string{"true"}, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XXL"}}, "failed")
	w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 10, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"}}, "success")
}

func (w *world) report() {
	w.t.Helper()
	for _, wrong := range w.check() {
		w.t.Error(wrong)
	}
	if w.t.Failed() {
		w.logMu.Lock()
		defer w.logMu.Unlock()
		w.t.Logf("log:\n%s", w.log.String())
	}
}

func TestJobsRunAndNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		w.plain()
		w.begin("")
		if !w.quiet(time.Hour) {
			t.Errorf("not quiet: %+v", w.life.manager.Status())
		}
		w.report()
		w.end()
	})
}
