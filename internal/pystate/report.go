// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// Where the ledger keeps the report, and that it was told.
const (
	reportKey = "python_import"
	toldKey   = "python_import_told"
)

// Report is what became of a state file.
type Report struct {
	At         time.Time `json:"at"`
	Generation string    `json:"generation"`
	Backup     string    `json:"backup"`
	Absent     int       `json:"absent"` // of runners that are not in the configuration
	Unread     []string  `json:"unread,omitempty"`
	Lines      []Line    `json:"lines"`
}

// Line tells of one job, or of an instance that no job needs.
type Line struct {
	List     string `json:"list"` // of the state file
	Runner   string `json:"runner"`
	Job      int64  `json:"job"`
	Instance string `json:"instance,omitempty"`
	State    string `json:"state,omitempty"`
	Text     string `json:"text"`
}

// Ledger is what is needed of the ledger. *store.Store implements it.
type Ledger interface {
	Load(ctx context.Context) (store.Snapshot, error)
	Commit(ctx context.Context, change store.Change) error
}

// Tell writes the report of an import to the log, once.
func Tell(ctx context.Context, ledger Ledger, log *slog.Logger) error {
	snap, err := ledger.Load(ctx)
	if err != nil {
		return fmt.Errorf("read the report of the import: %w", err)
	}
	if snap.Meta[reportKey] == "" || snap.Meta[toldKey] != "" {
		return nil
	}
	var r Report
	if err := json.Unmarshal([]byte(snap.Meta[reportKey]), &r); err != nil {
		return fmt.Errorf("read the report of the import: %w", err)
	}
	for _, l := range r.Lines {
		log.Info("taken over from the Python program", "runner", l.Runner, "job", l.Job, "instance", l.Instance, "state", l.State, "from", l.List, "what", l.Text)
	}
	log.Info("the Python program's state is taken over", "jobs", len(snap.Jobs), "instances", len(snap.Instances),
		"weight", weigh(snap), "generation", r.Generation, "backup", r.Backup)
	if len(r.Unread) > 0 {
		log.Warn("the Python program's state has keys that no known release writes: what stands there is not taken over, see the backup", "keys", r.Unread, "backup", r.Backup)
	}
	if r.Absent > 0 {
		log.Warn("jobs of the Python program belong to runners that are not in the configuration: put these back and restart", "jobs", r.Absent)
	}
	return ledger.Commit(ctx, store.Change{Name: "import told", Meta: map[string]string{toldKey: "yes"}})
}

// Unread names the keys of the old file that were not understood, out of what Import made.
func Unread(change store.Change) []string {
	var r Report
	if json.Unmarshal([]byte(change.Meta[reportKey]), &r) != nil {
		return nil
	}
	return r.Unread
}

func weigh(snap store.Snapshot) fleet.Weight {
	var sum fleet.Weight
	for _, vm := range snap.Instances {
		sum += vm.Weight
	}
	return sum
}
