// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/store"
)

// Where the ledger keeps why the fuse is blown, and when it let a destruction pass: a
// service that is started again and again has one allowance, not one for each start. That
// of one organisation stands under the key with its id behind a space.
const (
	fuseKey       = "fuse"
	fuseRecentKey = "fuse_recent"
)

const (
	fuseWindow      = 10 * time.Minute
	fuseLeast       = 5
	emptySuspicious = 3 // started instances that an empty list contradicts
)

// everywhere is the fuse of all organisations.
const everywhere = ""

// fuse stops the destruction of unrecorded instances when too many go at once, or when
// the cloud's word can't be right: for one organisation where only that one looks odd, so
// that no tenant can stop it for the others (I8), else for all. Once blown it stays so,
// restarts included, until somebody has looked and released it. Recorded, finished
// instances still go.
type fuse struct {
	recent   []passage
	blown    map[string]string // why, by organisation
	released time.Time         // somebody has looked, and an empty list is believed for a while
}

// passage is one destruction that the fuse let pass.
type passage struct {
	at     time.Time
	tenant string
}

// stops tells why nothing unrecorded is destroyed in an organisation; "" = it may be.
func (f *fuse) stops(tenant string) string { return cmp.Or(f.blown[everywhere], f.blown[tenant]) }

// text tells people why the fuse is blown; "" = it is not.
func (f *fuse) text() string {
	var out []string
	for _, tenant := range slices.Sorted(maps.Keys(f.blown)) {
		if tenant == everywhere {
			out = append(out, f.blown[tenant])
		} else {
			out = append(out, "in "+tenant+" only: "+f.blown[tenant])
		}
	}
	return strings.Join(out, "; ")
}

// allow takes one destruction out of the allowance: max(5, a quarter of the inventory)
// within ten minutes, in all organisations together.
func (f *fuse) allow(ctx context.Context, m *Manager, tenant string, inventory int) bool {
	m.watchClock(ctx) // it may have jumped since the step began
	if f.stops(tenant) != "" {
		return false
	}
	now := time.Now()
	f.recent = slices.DeleteFunc(f.recent, func(p passage) bool { return now.Sub(p.at) >= fuseWindow })
	if len(f.recent) >= max(fuseLeast, inventory/4) {
		f.exhausted(ctx, m, tenant)
		return false
	}
	passed := append(slices.Clone(f.recent), passage{now, tenant})
	if !m.commit(ctx, store.Change{Name: "fuse allowance", Meta: map[string]string{fuseRecentKey: joinPassages(passed)}}) {
		return false
	}
	f.recent = passed
	return true
}

// exhausted blows the fuse of those that used the allowance up: of one organisation if it
// was that alone. Another one only waits then.
func (f *fuse) exhausted(ctx context.Context, m *Manager, tenant string) {
	first := f.recent[0].tenant
	switch {
	case slices.ContainsFunc(f.recent, func(p passage) bool { return p.tenant != first }):
		f.blow(ctx, m, everywhere, tooMany)
	case first == tenant:
		f.blow(ctx, m, tenant, tooMany)
	}
}

const tooMany = "too many unrecorded instances would be destroyed within ten minutes"

// load takes the fuse up where an earlier life of this process left it.
func (f *fuse) load(meta map[string]string) {
	f.blown = map[string]string{}
	for key, why := range meta {
		if tenant, ours := strings.CutPrefix(key+" ", fuseKey+" "); ours && why != "" {
			f.blown[strings.TrimSuffix(tenant, " ")] = why
		}
	}
	for text := range strings.FieldsSeq(meta[fuseRecentKey]) {
		moment, escaped, _ := strings.Cut(text, "/")
		tenant, err := url.PathUnescape(escaped)
		at, wrong := time.Parse(time.RFC3339, moment)
		if now := time.Now(); err == nil && wrong == nil {
			if at.After(now) {
				at = now // the clock was set back since: it would use the allowance up until then
			}
			f.recent = append(f.recent, passage{measured(at, now), tenant})
		}
	}
}

func joinPassages(all []passage) string {
	var out []string
	for _, p := range all {
		out = append(out, p.at.UTC().Format(time.RFC3339)+"/"+url.PathEscape(p.tenant))
	}
	return strings.Join(out, " ")
}

// blow stops all destruction of unrecorded instances, in one organisation or everywhere.
func (f *fuse) blow(ctx context.Context, m *Manager, tenant, why string) {
	if f.stops(tenant) != "" {
		return
	}
	if f.blown == nil {
		f.blown = map[string]string{}
	}
	f.blown[tenant] = why
	m.log.Error("fuse blown: no unrecorded instance is destroyed until 'audit --release'; look at the cloud first",
		"tenant", cmp.Or(tenant, "all"), "err", why)
	m.commit(ctx, store.Change{Name: "fuse", Meta: f.meta()})
}

// meta is what the ledger is to hold of why the fuse is blown.
func (f *fuse) meta() map[string]string {
	out := map[string]string{}
	for tenant, why := range f.blown {
		out[strings.TrimSuffix(fuseKey+" "+tenant, " ")] = why
	}
	return out
}

// whole is what the ledger is to hold when the fuse is released.
func (f *fuse) whole() map[string]string {
	out := map[string]string{fuseKey: "", fuseRecentKey: ""}
	for key := range f.meta() {
		out[key] = ""
	}
	return out
}
