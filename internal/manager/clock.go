// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/store"
)

// stamp is the present as the ledger keeps it. It keeps the monotonic reading too, so that
// limits which count from it go by the time that passes, wherever the wall clock jumps.
func stamp() time.Time {
	now := time.Now()
	return now.Add(-time.Duration(now.Nanosecond() % int(time.Microsecond)))
}

// measured gives a moment that was read by the wall clock a monotonic reading: from now on
// its age is the time that passes.
func measured(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return now.Add(t.Sub(now))
}

// measureAll measures all recorded times that limits count from. What lies in the future is
// pulled back to the present: the clock was set back since, and such limits would otherwise
// run out late or never.
func measureAll(snap *store.Snapshot, now time.Time) (moved bool) {
	measure := func(times ...*time.Time) {
		for _, t := range times {
			if t.After(now) {
				*t, moved = now, true
			}
			*t = measured(*t, now)
		}
	}
	for i := range snap.Jobs {
		j := &snap.Jobs[i]
		measure(&j.AcquiredAt, &j.LaunchingAt, &j.StartingAt, &j.RunningAt, &j.FinishedAt, &j.CancelAt)
	}
	for i := range snap.Instances {
		vm := &snap.Instances[i]
		measure(&vm.IntendedAt, &vm.CreatedAt, &vm.StartedAt, &vm.DeletingAt)
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
		m.fuse.blow(ctx, m, everywhere, "the wall clock jumped by "+by.Round(time.Second).String())
	}
}
