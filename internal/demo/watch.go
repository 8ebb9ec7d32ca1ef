// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// watch shows the progress, cancels what is to be canceled, and returns when every
// job has ended, its instance is deleted and the service agrees.
func (d *demo) watch(ctx context.Context) ([]sight, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var jobs []sight
	for {
		for _, c := range d.children {
			if err := c.ended(); err != nil {
				return jobs, err
			}
		}
		seen, err := d.look(ctx)
		if err != nil && ctx.Err() == nil {
			return jobs, err
		}
		if err == nil {
			jobs = seen
			d.screen.show(jobs)
			err = d.cancel(ctx, jobs)
		}
		if err != nil && ctx.Err() == nil {
			return jobs, err
		}
		if d.settled(ctx, jobs) {
			return jobs, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return jobs, errors.Join(fmt.Errorf("not everything ended within %s", jobsWithin), mistakes(jobs))
		}
	}
}

// cancel cancels the jobs whose time has come.
func (d *demo) cancel(ctx context.Context, jobs []sight) error {
	for _, j := range jobs {
		if j.order.cancelIf == nil || d.canceled[j.job.ID] || !j.order.cancelIf(j) {
			continue
		}
		if err := d.gitlab.call(ctx, "POST", fmt.Sprintf("/_sim/jobs/%d/cancel", j.job.ID), nil, nil); err != nil {
			return fmt.Errorf("cancel %s: %w", j.order.name, err)
		}
		d.canceled[j.job.ID] = true
	}
	return nil
}

// settled tells whether all is over, also for the service.
func (d *demo) settled(ctx context.Context, jobs []sight) bool {
	for _, j := range jobs {
		if j.stage() != stageDone {
			return false
		}
	}
	left, err := d.open(ctx)
	return len(jobs) > 0 && err == nil && len(left) == 0
}

// judge says what did not end as it should, nil when everything did.
func (d *demo) judge(ctx context.Context, jobs []sight) error {
	wrong := []error{mistakes(jobs)}
	left, err := d.leftOver(ctx)
	if err != nil {
		return err
	}
	open, err := d.open(ctx)
	if err != nil {
		return err
	}
	for _, text := range append(left, open...) {
		wrong = append(wrong, errors.New(text))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	d.screen.say("All %d jobs ended as they should, and nothing is left behind.", len(jobs))
	return nil
}

// mistakes joins what is wrong with each job.
func mistakes(jobs []sight) error {
	var all []error
	for _, j := range jobs {
		for _, text := range j.wrong() {
			all = append(all, fmt.Errorf("job %d %s: %s", j.job.ID, j.order.name, text))
		}
	}
	return errors.Join(all...)
}

// writeJSON writes a file so that a reader finds all of it or nothing.
func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".demo-*.json")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(file.Name()))
	}
	return nil
}
