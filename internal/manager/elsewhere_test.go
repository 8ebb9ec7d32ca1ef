// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
)

// oneEngine is one of several that know nothing of each other's instances.
type oneEngine struct {
	cloud.Provisioner
	zone  string
	asked int
}

func (e *oneEngine) Describe() cloud.Description {
	return cloud.Description{Name: "docker", Zone: e.zone, Apart: true}
}

func (e *oneEngine) Inspect(context.Context, cloud.Ref) (cloud.Sighting, error) {
	e.asked++
	return cloud.Sighting{}, &fleet.CallError{Class: fleet.Permanent, Err: fleet.ErrNotFound}
}

func (e *oneEngine) Destroy(context.Context, cloud.Ref) error {
	e.asked++
	return nil
}

// A runner that was given another engine knows nothing of what runs on the old one: that it
// is not found there proves nothing. Its weight is held until the engine is back, or somebody
// gives it up.
func TestInstanceOnAnotherEngine(t *testing.T) {
	for _, state := range []fleet.InstanceState{fleet.InstanceStarted, fleet.InstanceDeleting, fleet.InstanceUnknown} {
		t.Run(string(state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, prov := bare(), &oneEngine{zone: "tcp://new"}
				m.events, m.calls = make(chan event, 1), map[int]*call{}
				m.unrecorded, m.stopped = map[string]*stranger{}, make(chan struct{})
				r := &runner{prov: prov, purses: map[string]*purse{}}
				m.runners = []*runner{r}
				vm := &machine{runner: r, rec: fleet.Instance{
					Key: "k", Provisioner: "docker", Zone: "tcp://old", State: state, Weight: fleet.Unit, CreatedAt: time.Now(), DeletingAt: time.Now(),
				}}
				m.machines["k"] = vm
				if state == fleet.InstanceStarted {
					vm.job = &job{runner: r, vm: vm, rec: fleet.Job{State: fleet.JobRunning}}
				}
				for range 100 {
					time.Sleep(time.Minute)
					m.notShown(t.Context(), r, r.purse(""), time.Now(), map[string]bool{})
					m.tendMachine(t.Context(), vm)
					if vm.busy {
						(<-m.events)()
					}
				}
				if vm.rec.State != state || prov.asked != 0 || m.usage().Weight != fleet.Unit {
					t.Errorf("it is %s, the other engine was asked for it %d times, weight %s", vm.rec.State, prov.asked, m.usage().Weight)
				}
				found := m.audit()
				if found.Unexplained != 1 || !strings.Contains(found.Entries[0].Verdict, "made on tcp://old, and the runner uses tcp://new") {
					t.Errorf("audit says %+v", found)
				}
				go func() { (<-m.events)() }()
				if err := m.Forget("k"); err != nil || m.usage().Weight != 0 {
					t.Errorf("given up: %v, weight %s", err, m.usage().Weight)
				}
			})
		})
	}
}

// Docker Engines are apart; Clever Cloud shows an application whatever its zone.
func TestWhoIsApart(t *testing.T) {
	for executor, want := range map[string]bool{config.ExecutorDocker: true, config.ExecutorClever: false} {
		rc := config.Runner{Executor: executor, MainImage: "x", Docker: config.Docker{Host: "tcp://127.0.0.1:2375"}}
		p, err := Clients{}.bare(rc)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Describe().Apart; got != want {
			t.Errorf("%s: apart %v, want %v", executor, got, want)
		}
	}
}
