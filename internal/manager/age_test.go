// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// unaware is a ledger that knows no instance.
type unaware struct{ nothing }

func (unaware) Instance(context.Context, string) (fleet.Instance, bool, error) {
	return fleet.Instance{}, false, nil
}

// How old something unrecorded is goes by the date that the cloud gives it, and where that is
// missing or still to come, by how long it has been seen.
func TestAgeOfTheUnrecorded(t *testing.T) {
	for name, c := range map[string]struct {
		made  func(now time.Time) time.Time
		after time.Duration // it is old enough
	}{
		"old":           {func(now time.Time) time.Time { return now.Add(-time.Hour) }, endedApart},
		"young":         {func(now time.Time) time.Time { return now.Add(-time.Minute) }, time.Minute},
		"without date":  {func(time.Time) time.Time { return time.Time{} }, youngest},
		"of the future": {func(now time.Time) time.Time { return now.AddDate(1, 0, 0) }, youngest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := bare()
				m.deps.Ledger, m.unrecorded = unaware{}, map[string]*stranger{}
				r, p := &runner{prov: nowhere{}}, &purse{}
				vm := &machine{runner: r, rec: fleet.Instance{Key: "k", Handle: []byte("the job's"), Provisioner: "nowhere"}}
				begun := time.Now()
				s := cloud.Sighting{Key: "k", Handle: []byte("another"), Life: cloud.LifeCreated, CreatedAt: c.made(begun)}
				asked, twin := time.Duration(-1), time.Duration(-1)
				for range 20 {
					m.stranger(t.Context(), r, p, "owner", 1, s)
					if x := m.unrecorded[strangerID(s)]; x.ask && asked < 0 {
						asked = time.Since(begun)
					}
					if m.sighted(vm, s); vm.twin != nil && twin < 0 {
						twin = time.Since(begun)
					}
					time.Sleep(10 * time.Second)
				}
				if asked != c.after {
					t.Errorf("a stranger is asked for after %s, want %s", asked, c.after)
				}
				if want := c.after; twin != want && name != "old" {
					t.Errorf("a twin is taken for one after %s, want %s", twin, want)
				}
			})
		})
	}
}
