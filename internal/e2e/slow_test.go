// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// slow is a provisioner that pulls a large image before each instance.
type slow struct{ cloud.Provisioner }

func (s slow) Describe() cloud.Description {
	d := s.Provisioner.Describe()
	d.Patience = time.Hour
	return d
}

func (s slow) Create(ctx context.Context, spec cloud.Spec) (cloud.Sighting, error) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for n := range 20 {
		select {
		case <-minute.C:
			spec.Progress(fmt.Sprintf("pulling image: %d of 20 MB at %s", n+1, time.Now()))
		case <-ctx.Done():
			return cloud.Sighting{}, &fleet.CallError{Class: fleet.Transient, Err: fmt.Errorf("pull: %w", ctx.Err())}
		}
	}
	return s.Provisioner.Create(ctx, spec)
}

// An image that takes longer than other creates may is waited for; a job that is cancelled
// meanwhile does not have to wait for it.
func TestACreateTakesItsTime(t *testing.T) {
	run(t, func(w *world) {
		w.around = func(p cloud.Provisioner) cloud.Provisioner { return slow{p} }
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
		cancelled := w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "canceled").id
		w.begin("")
		time.Sleep(8 * time.Minute)
		w.end() // the pulls begin anew
		w.begin("")
		time.Sleep(4 * time.Minute)
		w.cancel(cancelled)
		time.Sleep(2 * time.Minute)
		if j := w.simJob(cancelled); j.Status != "canceled" {
			t.Errorf("two minutes after it was cancelled the job is %s", j.Status)
		}
	}, nil)
}
