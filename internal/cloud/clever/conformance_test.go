// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/cloud/cloudtest"
	"heptapod-paas-runner/internal/secret"
	sim "heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/fault"
	"heptapod-paas-runner/internal/sim/memnet"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return simulated(t, clever.Config{}, nil).harness() })
}

// world is a simulated platform on a simulated network.
type world struct {
	t      *testing.T
	server *sim.Server
	tasks  *tasks
	prov   *clever.Provisioner
}

// simulated makes a world with a provisioner of that configuration. gate, if any, stands
// before the platform.
func simulated(t *testing.T, cfg clever.Config, gate func(http.Handler) http.Handler) world {
	t.Helper()
	network := memnet.New(memnet.Config{})
	w := world{t: t, tasks: &tasks{ends: map[string]chan struct{}{}}}
	w.server = sim.New(sim.Config{BootTime: 20 * time.Second, RepoDelay: 3 * time.Second, Launcher: w.tasks})
	w.server.SetOrganisation("orga_neighbour", "neighbour-token")
	listener, err := network.Listen("clever.test")
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = w.server
	if gate != nil {
		handler = gate(handler)
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = web.Serve(listener) })
	running.Go(func() { _ = w.server.Run(ctx) })
	t.Cleanup(func() {
		stop()
		_ = web.Close()
		network.Close()
		running.Wait()
	})
	cfg.APIURL = "http://clever.test/v2"
	w.prov, err = clever.New(cfg, clever.Deps{Transport: network.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w world) harness() cloudtest.Harness {
	return cloudtest.Harness{
		Provisioner: w.prov,
		Tenant:      cloud.Tenant{ID: sim.FirstOrganisation, Token: secret.New(sim.FirstToken)},
		Neighbour:   cloud.Tenant{ID: "orga_neighbour", Token: secret.New("neighbour-token")},
		Flavor:      "S",
		Foreign: func(name string) {
			if _, err := w.server.AddForeign(sim.FirstOrganisation, name); err != nil {
				w.t.Fatal(err)
			}
		},
		Exists:     w.exists,
		LoseAnswer: func(c cloudtest.Call) { w.fault(fault.Fault{Match: match(c), Drop: "after"}) },
		Break:      func(c cloudtest.Call) { w.fault(fault.Fault{Match: match(c), Status: 503, Body: brokenBody}) },
		Hang: func(c cloudtest.Call) {
			w.fault(fault.Fault{Match: match(c), Delay: "3h"})
			w.t.Cleanup(func() { <-time.After(4 * time.Hour) }) // simulated: until the server has let go
		},
		EndTask: w.tasks.end,
	}
}

const brokenBody = `{"id":-500,"message":"<html><body>Error from provider</body></html>","type":"error"}`

func match(c cloudtest.Call) string {
	return map[cloudtest.Call]string{
		cloudtest.Create:  "POST /v2/organisations/*/applications",
		cloudtest.Start:   "POST /git/*/git-receive-pack",
		cloudtest.Destroy: "DELETE /v2/organisations/*/applications/*",
	}[c]
}

func (w world) fault(f fault.Fault) {
	if _, err := w.server.Panel().Add(f); err != nil {
		w.t.Fatal(err)
	}
}

func (w world) exists() []string {
	var names []string
	for _, a := range w.server.Applications() {
		if a.State != "deleted" && a.Organisation == sim.FirstOrganisation {
			names = append(names, a.Name)
		}
	}
	return names
}

// tasks are what runs on the machines: each until it is ended.
type tasks struct {
	mu   sync.Mutex
	ends map[string]chan struct{}
}

// Launch implements sim.Launcher.
func (l *tasks) Launch(ctx context.Context, task sim.Task) error {
	end := make(chan struct{})
	l.mu.Lock()
	l.ends[task.Name] = end
	l.mu.Unlock()
	select {
	case <-end:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *tasks) end(t *testing.T, name string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends[name] == nil {
		t.Fatalf("no task of %s runs", name)
	}
	close(l.ends[name])
}
