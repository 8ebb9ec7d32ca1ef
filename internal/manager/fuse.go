// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/store"
)

// fuseKey is where the ledger keeps why the fuse is blown.
const fuseKey = "fuse"

const (
	fuseWindow      = 10 * time.Minute
	fuseLeast       = 5
	emptySuspicious = 3 // started instances that an empty list contradicts
)

// fuse stops the destruction of unrecorded instances when too many go at once, or when
// the cloud's word can't be right. Once blown it stays so, restarts included, until
// somebody has looked and released it. Recorded, finished instances still go.
type fuse struct {
	recent []time.Time
	blown  string
}

// allow takes one destruction out of the allowance: max(5, a quarter of the inventory)
// within ten minutes.
func (f *fuse) allow(ctx context.Context, m *Manager, inventory int) bool {
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
	f.recent = append(f.recent, now)
	return true
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
