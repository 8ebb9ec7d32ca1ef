// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// Ledger is the durable state. *store.Store implements it.
type Ledger interface {
	Load(ctx context.Context) (store.Snapshot, error)
	Commit(ctx context.Context, change store.Change) error
	Instance(ctx context.Context, key string) (fleet.Instance, bool, error)
	Job(ctx context.Context, id fleet.JobID) (fleet.Job, bool, error)
}

// Deps is what the manager works with.
type Deps struct {
	Ledger      Ledger
	Log         *slog.Logger
	Version     string
	Coordinator func(config.Runner) (*coordinator.Client, error)
	Provisioner func(config.Runner) (cloud.Provisioner, error)
	RelayBinary []byte    // for the sub-runner mode "relay"; may be empty with a relay image
	Random      io.Reader // for nonces; crypto/rand.Reader in the service
	Seed        uint64    // for jitter and timer phases
	// Wall is the wall clock, which is watched for jumps; nil = time.Now. All else goes by
	// the time that passes.
	Wall func() time.Time
}

// Manager runs the service. Make it with New, run it once with Run; Status and
// Notice may be called from any goroutine while Run runs.
type Manager struct {
	cfg  *config.Config
	deps Deps
	log  *slog.Logger
	rng  *rand.Rand

	events  chan event
	stopped chan struct{} // closed when Run has ended
	calls   map[int]*call
	callSeq int
	started time.Time

	runners  []*runner
	jobs     map[fleet.JobID]*job
	machines map[string]*machine
	recorded []store.RunnerRecord
	unsaved  []store.RunnerRecord // of recorded, those that the ledger does not have yet
	nextSeq  int64
	meta     map[string]string
	counts   map[string]int // closed jobs by result, since the start
	// lostGrants counts the jobs found that were lost at acquisition, since the start.
	lostGrants int

	unrecorded   map[string]*stranger // sightings with our key that no record explains
	unrecordable []*lostJob           // acquired jobs that could not be committed
	orphans      orphans              // records whose runner is not configured
	fuse         fuse
	breakers     map[breakerKey]*breaker
	needed       map[purseID]bool // groups whose credential somebody waits for; nil = to be found out
	clock        *clock

	stepAt      time.Time // when the present step began
	dueAt       time.Time // when the next one has to begin, at the latest
	lookedAgain time.Time // tenants that could not be found are looked for again since then
	attended    time.Time // since then somebody looks after jobs without a gap
	lastLaunch  time.Time
	brokenSince time.Time // commits fail since; zero = they work
	nextRepair  time.Time
	recovered   bool
	draining    bool
}

// event is something that happened; it runs on the goroutine that owns the state.
type event func()

// New checks the parts and builds the manager. No I/O but reading TLS files.
func New(cfg *config.Config, deps Deps) (*Manager, error) {
	m := &Manager{
		cfg: cfg, deps: deps, log: deps.Log,
		rng:        rand.New(rand.NewPCG(deps.Seed, 0x9e3779b97f4a7c15)),
		events:     make(chan event, 64),
		stopped:    make(chan struct{}),
		calls:      map[int]*call{},
		jobs:       map[fleet.JobID]*job{},
		machines:   map[string]*machine{},
		unrecorded: map[string]*stranger{},
		clock:      newClock(deps.Wall),
		breakers:   map[breakerKey]*breaker{},
		meta:       map[string]string{},
		counts:     map[string]int{},
	}
	for _, rc := range cfg.Runners {
		r, err := m.newRunner(rc)
		if err != nil {
			return nil, fmt.Errorf("runner %q: %w", rc.Name, err)
		}
		m.runners = append(m.runners, r)
	}
	return m, nil
}

// Run reads the ledger and works until ctx ends, then drains: no new call is made,
// calls under way get drainGrace, and what they leave open is recorded as unknown.
// It returns nil after a drain.
func (m *Manager) Run(ctx context.Context) error {
	defer close(m.stopped)
	m.started = time.Now()
	m.attended = m.started
	if err := m.load(ctx); err != nil {
		return err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	m.loop(ctx, work)
	m.drain(work, cancel)
	return nil
}

// loop takes one event at a time until ctx ends.
func (m *Manager) loop(ctx, work context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && !m.polledEnough() {
		m.step(work)
		m.dueAt = m.nextWake()
		timer.Reset(max(0, time.Until(m.dueAt)))
		select {
		case <-ctx.Done():
		case ev := <-m.events:
			ev()
		case <-timer.C:
		}
	}
}

// step brings everything as far as it can go now: commits decisions and hands out
// the calls they need.
func (m *Manager) step(ctx context.Context) {
	m.stepAt, m.needed = time.Now(), nil
	m.endLost(ctx)
	m.watchClock(ctx)
	m.watchGap()
	if !m.repair(ctx) || !m.recordRunners(ctx) {
		return
	}
	m.dropRunners()
	for _, r := range m.runners {
		m.refreshFlavors(ctx, r)
		m.refreshTenants(ctx, r)
		m.sweep(ctx, r)
		m.watchExpiry(ctx, r)
		m.searchGrants(ctx, r)
		m.askHealth(ctx, r)
	}
	for _, j := range m.jobList() {
		m.advance(ctx, j)
	}
	m.launchWaiting(ctx)
	for _, vm := range m.machineList() {
		m.tendMachine(ctx, vm)
		m.destroyTwin(ctx, vm)
	}
	m.tendStrangers(ctx)
	for _, j := range m.jobList() {
		m.close(ctx, j)
	}
	for _, r := range m.runners {
		m.poll(ctx, r)
	}
}

// jobList gives the open jobs in order of acquisition, so that no decision depends
// on the order of a map.
func (m *Manager) jobList() []*job {
	out := make([]*job, 0, len(m.jobs))
	for _, j := range m.jobs {
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b *job) int { return cmp.Compare(a.rec.Seq, b.rec.Seq) })
	return out
}

// machineList gives the instances that are not gone, by key.
func (m *Manager) machineList() []*machine {
	out := make([]*machine, 0, len(m.machines))
	for _, vm := range m.machines {
		out = append(out, vm)
	}
	slices.SortFunc(out, func(a, b *machine) int { return cmp.Compare(a.rec.Key, b.rec.Key) })
	return out
}

// jitter gives a duration in [d, 1.2 d), so that no two timers share an instant.
func (m *Manager) jitter(d time.Duration) time.Duration {
	return d + time.Duration(m.rng.Int64N(int64(d)/5+1))
}
