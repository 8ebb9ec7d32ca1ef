// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// Snapshot is what the manager starts from.
type Snapshot struct {
	Jobs      []fleet.Job      // not closed, in order of acquisition
	Instances []fleet.Instance // not gone, in order of their keys
	Runners   []RunnerRecord
	Meta      map[string]string
	NextSeq   int64 // for the next acquired job
	// LastLaunch is when the newest instance was recorded, gone ones too.
	LastLaunch time.Time
}

// Load reads the snapshot, all of one moment.
func (s *Store) Load(ctx context.Context) (Snapshot, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Snapshot{}, fmt.Errorf("load ledger: %w", classify(err))
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	snap, err := load(ctx, tx)
	if err != nil {
		return Snapshot{}, fmt.Errorf("load ledger: %w", classify(err))
	}
	return snap, nil
}

func load(ctx context.Context, tx *sql.Tx) (Snapshot, error) {
	snap := Snapshot{Meta: map[string]string{}}
	var err error
	if snap.Jobs, err = queryJobs(ctx, tx, "WHERE state <> $1 ORDER BY seq, coordinator, id", fleet.JobClosed); err != nil {
		return snap, err
	}
	if snap.Instances, err = queryInstances(ctx, tx, "WHERE state <> $1 ORDER BY instance_key", fleet.InstanceGone); err != nil {
		return snap, err
	}
	var runner RunnerRecord
	err = query(ctx, tx, runnerTable, runnerColumns(&runner), func() error {
		snap.Runners = append(snap.Runners, runner)
		return nil
	}, "ORDER BY owner")
	if err != nil {
		return snap, err
	}
	var key, value string
	err = query(ctx, tx, metaTable, metaColumns(&key, &value), func() error {
		snap.Meta[key] = value
		return nil
	}, "")
	if err != nil {
		return snap, err
	}
	if err = tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) + 1 FROM jobs").Scan(&snap.NextSeq); err != nil {
		return snap, err
	}
	return snap, tx.QueryRowContext(ctx, "SELECT coalesce(max(intended_at), 0) FROM instances").Scan(instant{&snap.LastLaunch})
}

// Job reads one job; false when there is none.
func (s *Store) Job(ctx context.Context, id fleet.JobID) (fleet.Job, bool, error) {
	jobs, err := queryJobs(ctx, s.db, "WHERE coordinator = $1 AND id = $2", id.Coordinator, id.ID)
	if err != nil || len(jobs) == 0 {
		return fleet.Job{}, false, wrapRead(err)
	}
	return jobs[0], true, nil
}

// Instance reads one instance, gone ones too; false when there is none.
func (s *Store) Instance(ctx context.Context, key string) (fleet.Instance, bool, error) {
	instances, err := queryInstances(ctx, s.db, "WHERE instance_key = $1", key)
	if err != nil || len(instances) == 0 {
		return fleet.Instance{}, false, wrapRead(err)
	}
	return instances[0], true, nil
}

// History gives the newest jobs and instances, closed and gone ones too, newest
// first; at most limit of each, all when limit is 0.
func (s *Store) History(ctx context.Context, limit int) ([]fleet.Job, []fleet.Instance, error) {
	if limit <= 0 {
		limit = math.MaxInt32
	}
	jobs, err := queryJobs(ctx, s.db, "ORDER BY seq DESC, coordinator, id LIMIT $1", limit)
	if err != nil {
		return nil, nil, wrapRead(err)
	}
	instances, err := queryInstances(ctx, s.db, "ORDER BY intended_at DESC, instance_key LIMIT $1", limit)
	return jobs, instances, wrapRead(err)
}

// Notes gives a job's history, oldest first.
func (s *Store) Notes(ctx context.Context, id fleet.JobID) ([]Note, error) {
	var notes []Note
	n := Note{Job: id}
	columns := []column{{"noted_at", instant{&n.At}}, {"body", &n.Text}}
	err := query(ctx, s.db, table{name: "notes"}, columns, func() error {
		notes = append(notes, n)
		return nil
	}, "WHERE coordinator = $1 AND job_id = $2 ORDER BY id", id.Coordinator, id.ID)
	return notes, wrapRead(err)
}

func wrapRead(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read ledger: %w", classify(err))
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

func queryJobs(ctx context.Context, q querier, where string, args ...any) ([]fleet.Job, error) {
	var list []fleet.Job
	var job fleet.Job
	err := query(ctx, q, jobTable, jobColumns(&job), func() error {
		if !job.State.Known() {
			return fmt.Errorf("%w: job %d is in the unknown state %q", ErrDamaged, job.ID, job.State)
		}
		list = append(list, job)
		return nil
	}, where, args...)
	return list, err
}

func queryInstances(ctx context.Context, q querier, where string, args ...any) ([]fleet.Instance, error) {
	var list []fleet.Instance
	var instance fleet.Instance
	err := query(ctx, q, instanceTable, instanceColumns(&instance), func() error {
		if !instance.State.Known() {
			return fmt.Errorf("%w: instance %s is in the unknown state %q", ErrDamaged, instance.Key, instance.State)
		}
		list = append(list, instance)
		return nil
	}, where, args...)
	return list, err
}

// query reads rows into the fields of columns and calls row after each. Every field
// is overwritten by every row.
func query(ctx context.Context, q querier, t table, columns []column, row func() error, where string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, "SELECT "+names(columns)+" FROM "+t.name+" "+where, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	into := fields(columns)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if err := row(); err != nil {
			return err
		}
	}
	return rows.Err()
}
