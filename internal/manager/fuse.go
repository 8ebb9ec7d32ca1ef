// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/store"
)

// Where the ledger keeps why the fuse is blown, and when it let a destruction pass: a
// service that is started again and again has one allowance, not one for each start.
const (
	fuseKey       = "fuse"
	fuseRecentKey = "fuse_recent"
)

const (
	fuseWindow      = 10 * time.Minute
	fuseLeast       = 5
	emptySuspicious = 3 // started instances that an empty list contradicts
)

// fuse stops the destruction of unrecorded instances when too many go at once, or when
// the cloud's word can't be right. Once blown it stays so, restarts included, until
// somebody has looked and released it. Recorded, finished instances still go.
type fuse struct {
	recent   []time.Time
	blown    string
	released time.Time // somebody has looked, and an empty list is believed for a while
}

// allow takes one destruction out of the allowance: max(5, a quarter of the inventory)
// within ten minutes.
func (f *fuse) allow(ctx context.Context, m *Manager, inventory int) bool {
	m.watchClock(ctx) // it may have jumped since the step began
	if f.blown != "" {
		return false
	}
	now := time.Now()
	kept := f.recent[:0]
	for _, at := range f.recent {
		if now.Sub(at) < fuseWindow {
			kept = append(kept, at)
		}
	}
	f.recent = kept
	if len(f.recent) >= max(fuseLeast, inventory/4) {
		f.blow(ctx, m, "too many unrecorded instances would be destroyed within ten minutes")
		return false
	}
	passed := append(slices.Clone(f.recent), now)
	if !m.commit(ctx, store.Change{Name: "fuse allowance", Meta: map[string]string{fuseRecentKey: joinTimes(passed)}}) {
		return false
	}
	f.recent = passed
	return true
}

// load takes the fuse up where an earlier life of this process left it.
func (f *fuse) load(meta map[string]string) {
	f.blown = meta[fuseKey]
	for text := range strings.FieldsSeq(meta[fuseRecentKey]) {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			f.recent = append(f.recent, measured(at, time.Now()))
		}
	}
}

func joinTimes(times []time.Time) string {
	var out []string
	for _, at := range times {
		out = append(out, at.UTC().Format(time.RFC3339))
	}
	return strings.Join(out, " ")
}

// blow stops all destruction of unrecorded instances.
func (f *fuse) blow(ctx context.Context, m *Manager, why string) {
	if f.blown != "" {
		return
	}
	f.blown = why
	m.log.Error("fuse blown: no unrecorded instance is destroyed until 'audit --release'; look at the cloud first", "err", why)
	m.commit(ctx, store.Change{Name: "fuse", Meta: map[string]string{fuseKey: why}})
}
