// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"testing"
	"testing/synctest"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// asked is a provisioner that knows one instance, and counts how often it is destroyed.
type asked struct {
	nowhere
	life      cloud.Life
	destroyed int
}

func (a *asked) Inspect(context.Context, cloud.Ref) (cloud.Sighting, error) {
	return cloud.Sighting{Life: a.life}, nil
}

func (a *asked) Destroy(context.Context, cloud.Ref) error {
	a.destroyed++
	return nil
}

// The list that showed a twin as never started may be old: it is asked for before it is
// destroyed, and stays if it runs.
func TestTwinIsAskedFor(t *testing.T) {
	for life, want := range map[cloud.Life]int{cloud.LifeCreated: 1, cloud.LifeAlive: 0, cloud.LifeEnded: 0} {
		synctest.Test(t, func(t *testing.T) {
			m, prov := bare(), &asked{life: life}
			m.events, m.calls = make(chan event, 1), map[int]*call{}
			vm := &machine{runner: &runner{prov: prov, purses: map[string]*purse{}}, rec: fleet.Instance{Key: "k"}, twin: &cloud.Sighting{Key: "k", Life: cloud.LifeCreated}}
			m.destroyTwin(t.Context(), vm)
			(<-m.events)()
			if prov.destroyed != want || vm.twin != nil {
				t.Errorf("%s: destroyed %d times, want %d; the twin is %v", life, prov.destroyed, want, vm.twin)
			}
		})
	}
}
