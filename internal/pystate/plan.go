// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/store"
)

// Config is what a plan is made with.
type Config struct {
	Runners []config.Runner
	Now     time.Time
	Random  io.Reader // for the nonces of jobs
	Backup  string    // where the old file is kept, for the report
}

// unknownTimeout is the time limit of a job whose payload is not in the file.
const unknownTimeout = 24 * time.Hour

// unknownWeight is what the Python program writes for a weight that it does not know.
const unknownWeight = 32768

// heaviest counts for an instance whose weight is not known, until its flavor is: that of
// the largest flavor there was.
const heaviestMiB = 32 << 10

// Plan makes the first content of a ledger out of a state. Every job that may still have
// to be answered for, and every application that may exist, is recorded.
func Plan(s *State, cfg Config) (store.Change, error) {
	p := planner{cfg: cfg, now: cfg.Now.UTC().Truncate(time.Microsecond), seen: map[jobKey]*Resource{}}
	for _, h := range s.Launched {
		p.add("launched", h, nil, p.launched)
	}
	for _, pending := range s.Pending {
		p.add("pending", pending.Handle, pending.Payload, p.pending)
	}
	for _, h := range s.ToDecommission {
		p.add("to_decommission", h, nil, p.ended)
	}
	for _, h := range s.Standby {
		p.add("standby_resources", h, nil, p.standby)
	}
	if err := errors.Join(p.errs...); err != nil {
		return store.Change{}, err
	}
	p.report.At, p.report.Generation, p.report.Backup = p.now, s.Generation, cfg.Backup
	p.report.Unread = s.Unread
	text, err := json.Marshal(p.report)
	if err != nil {
		return store.Change{}, fmt.Errorf("write the report: %w", err)
	}
	p.change.Name, p.change.Meta = "import", map[string]string{reportKey: string(text)}
	return p.change, nil
}

// jobKey is the identity of a job in the Python program.
type jobKey struct {
	runner string
	id     int64
}

// planner collects the records.
type planner struct {
	cfg    Config
	now    time.Time
	seen   map[jobKey]*Resource
	change store.Change
	report Report
	errs   []error
}

// item is one handle on its way to its records.
type item struct {
	list    string
	handle  Handle
	payload json.RawMessage
	owned   owned
	job     *fleet.Job
	vm      *fleet.Instance
	what    string // becomes of it, for the report
}

// add makes the records of one handle. The first list that names a job counts.
func (p *planner) add(from string, h Handle, payload json.RawMessage, plan func(*item)) {
	key := jobKey{h.RunnerName, h.JobID}
	if before, twice := p.seen[key]; twice {
		if id(before) != id(h.Resource) && h.Resource != nil {
			p.errs = append(p.errs, fmt.Errorf("%s: job %d of %q stands in two lists, with two resources (%q and %q)",
				from, h.JobID, h.RunnerName, id(before), id(h.Resource)))
		}
		return
	}
	p.seen[key] = h.Resource
	found, err := match(p.cfg.Runners, h, payload)
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("%s: job %d: %w", from, h.JobID, err))
		return
	}
	it := &item{list: from, handle: h, payload: payload, owned: found}
	plan(it)
	p.keep(it)
}

func id(r *Resource) string {
	if r == nil {
		return ""
	}
	return r.ID
}

// keep puts an item's records and its line of the report into the result.
func (p *planner) keep(it *item) {
	line := Line{List: it.list, Runner: it.owned.name, Job: it.handle.JobID, Text: it.what}
	if !it.owned.configured {
		line.Text += "; its runner is not in the configuration: it is kept until the runner is back"
		p.report.Absent++
	}
	if it.job != nil {
		p.change.Jobs = append(p.change.Jobs, *it.job)
		line.State = string(it.job.State)
		p.change.Notes = append(p.change.Notes, store.Note{At: p.now, Job: it.job.JobID, Text: "taken over from the Python program: " + line.Text})
	}
	if it.vm != nil {
		p.change.Instances = append(p.change.Instances, *it.vm)
		line.Instance = it.vm.Key
	}
	p.report.Lines = append(p.report.Lines, line)
}

// record makes the record of a job. Its instance was started, as far as the ledger goes:
// what the Python program wrote to the job's log stands there, and nothing is added.
func (p *planner) record(it *item, state fleet.JobState) {
	h := it.handle
	it.job = &fleet.Job{
		JobID: fleet.JobID{Coordinator: it.owned.coordinator, ID: h.JobID},
		Owner: it.owned.owner, Runner: it.owned.name, State: state,
		Token: h.Token, Nonce: p.nonce(), Timeout: unknownTimeout, Seq: int64(len(p.change.Jobs) + 1),
		PrefixAcked: h.TraceOffset, PrefixFrozen: true,
		AcquiredAt: p.now, LaunchingAt: p.now, StartingAt: p.now,
	}
	if h.Resource != nil {
		it.job.Namespace = h.Resource.Namespace
	}
	if payload, err := coordinator.ParsePayload(it.payload); err == nil && payload.ID == h.JobID {
		it.job.Name, it.job.Project, it.job.WebURL = payload.Name, payload.Project, payload.WebURL
		if payload.Timeout > 0 {
			it.job.Timeout = payload.Timeout
		}
		it.job.Payload = payload.Raw
	}
}

func (p *planner) nonce() secret.String {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(p.cfg.Random, raw); err != nil {
		p.errs = append(p.errs, fmt.Errorf("no randomness on this machine: %w", err))
	}
	return secret.New(hex.EncodeToString(raw))
}

// instance makes the record of an application. Provisioner is left empty: the manager
// asks the cloud for it before anything else is done, and learns what the file does not
// tell.
func (p *planner) instance(it *item, state fleet.InstanceState) {
	h := it.handle
	it.vm = &fleet.Instance{
		Key: fleet.PythonKey(h.RunnerName, h.JobID), Job: fleet.JobID{Coordinator: it.owned.coordinator, ID: h.JobID},
		Owner: it.owned.owner, Runner: it.owned.name, Weight: weightOf(h), State: state, Started: true, Creates: 1,
		IntendedAt: p.now,
	}
	if it.job != nil {
		it.vm.Namespace, it.job.Weight = it.job.Namespace, it.vm.Weight
	}
	if h.Resource == nil {
		return
	}
	it.vm.Namespace = h.Resource.Namespace
	it.vm.Handle = clever.Handle(h.Resource.ID, "")
	it.vm.CreatedAt = p.now
	switch state {
	case fleet.InstanceStarted:
		it.vm.StartedAt = p.now
	case fleet.InstanceDeleting:
		it.vm.DeletingAt = p.now
	}
}

// weightOf is what an instance counts until its flavor is known.
func weightOf(h Handle) fleet.Weight {
	known := 0.0
	if h.ExpectedWeight > 1 { // 1 is what stands there when it was not computed
		known = h.ExpectedWeight
	}
	if r := h.Resource; r != nil && r.Weight > 0 && r.Weight != unknownWeight {
		known = r.Weight
	}
	if known == 0 {
		return fleet.WeightOf(heaviestMiB)
	}
	return fleet.Weight(math.Round(known * float64(fleet.Unit)))
}

// Import makes the first content of a ledger out of a state file.
func Import(raw []byte, cfg Config) (store.Change, error) {
	s, err := Parse(raw)
	if err != nil {
		return store.Change{}, fmt.Errorf("read the state of the Python program: %w", err)
	}
	change, err := Plan(s, cfg)
	if err != nil {
		return store.Change{}, fmt.Errorf("take over the state of the Python program: %w", err)
	}
	return change, nil
}
