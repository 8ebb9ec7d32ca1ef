// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/store"
)

// notLater pulls recorded times that lie in the future back to the present: the clock was
// set back since. Limits that count from them would otherwise run out late or never.
func notLater(snap *store.Snapshot, now time.Time) (moved bool) {
	pull := func(times ...*time.Time) {
		for _, t := range times {
			if t.After(now) {
				*t, moved = now, true
			}
		}
	}
	for i := range snap.Jobs {
		j := &snap.Jobs[i]
		pull(&j.AcquiredAt, &j.LaunchingAt, &j.StartingAt, &j.RunningAt, &j.FinishedAt, &j.CancelAt)
	}
	for i := range snap.Instances {
		vm := &snap.Instances[i]
		pull(&vm.IntendedAt, &vm.CreatedAt, &vm.StartedAt, &vm.DeletingAt)
	}
	return moved
}

// jumpLimit is how far the wall clock may move against the time that has passed.
const jumpLimit = 5 * time.Minute

// clock watches the wall clock against the monotonic one.
type clock struct {
	wall func() time.Time
	last time.Time // by the wall clock, without its monotonic part
	at   time.Time // the same moment, with it
}

func newClock(wall func() time.Time) *clock {
	if wall == nil {
		wall = time.Now
	}
	return &clock{wall: wall}
}

// jumped tells by how much the wall clock moved further than the time that has passed
// since it was asked last; 0 when that is no more than jumpLimit.
func (c *clock) jumped() time.Duration {
	wall, now := c.wall().Round(0), time.Now()
	defer func() { c.last, c.at = wall, now }()
	if c.at.IsZero() {
		return 0
	}
	if by := wall.Sub(c.last) - now.Sub(c.at); by.Abs() > jumpLimit {
		return by
	}
	return 0
}

// watchClock blows the fuse when the wall clock jumps: ages that lists show are not to be
// believed then (I4).
func (m *Manager) watchClock(ctx context.Context) {
	if by := m.clock.jumped(); by != 0 {
		m.fuse.blow(ctx, m, "the wall clock jumped by "+by.Round(time.Second).String())
	}
}
