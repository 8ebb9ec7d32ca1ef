// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Bounds of the notes: a job that is tried for ever must not fill the disk.
const (
	notesPerJob = 200
	notesInAll  = 100_000
	noteBytes   = 2000
)

// Change is what one transaction writes: whole records, each replacing the one with
// the same identity.
type Change struct {
	Name      string // of the failpoints around the commit
	Jobs      []fleet.Job
	Instances []fleet.Instance
	Runners   []RunnerRecord
	Meta      map[string]string
	Notes     []Note
}

// RunnerRecord is a registration that was seen once: its owner mark stays ours when
// its token is rotated.
type RunnerRecord struct {
	Owner       fleet.Owner
	Name        string
	Coordinator string
}

// Note is a line of a job's history. The newest 200 of each job are kept.
type Note struct {
	At   time.Time
	Job  fleet.JobID
	Text string
}

// Commit applies the change, all of it or nothing. nil means that it is on the disk.
// An error means that nothing was applied; try again later. (What no database can
// promise: after ErrIO followed at once by a crash it may turn out to be applied.)
// A context that ends during the call doesn't stop it: half a commit helps nobody.
//
// A closed job is stored without token, nonce and payload, whatever the record says.
func (s *Store) Commit(ctx context.Context, change Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit %s: %w", change.Name, err)
	}
	ctx = context.WithoutCancel(ctx)
	err := classify(s.commit(ctx, change))
	if errors.Is(err, ErrFull) && s.emptyLog(ctx) == nil {
		// The log may hold most of what the disk lacks, and is in the file now.
		err = classify(s.commit(ctx, change))
	}
	if err != nil {
		return fmt.Errorf("commit %s: %w", change.Name, err)
	}
	return nil
}

// emptyLog folds the write-ahead log into the file and gives its space back.
func (s *Store) emptyLog(ctx context.Context) error {
	var busy, logged, folded int
	err := s.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &folded)
	if err == nil && busy != 0 {
		return errors.New("the log is in use")
	}
	return err
}

func (s *Store) commit(ctx context.Context, change Change) error {
	upserts, err := s.prepareUpserts(ctx)
	if err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := write(ctx, transaction{tx, upserts}, change); err != nil {
		return err
	}
	if err := s.point(change.Name, "before"); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if slices.ContainsFunc(change.Jobs, func(j fleet.Job) bool { return j.State == fleet.JobClosed }) {
		// The removed secrets are still in the write-ahead log. That it can't be
		// emptied now is no failure of the commit; the next one tries again.
		_ = s.emptyLog(ctx)
	}
	return s.point(change.Name, "after")
}

func (s *Store) point(name, when string) error {
	if s.hook == nil {
		return nil
	}
	return s.hook.Point("commit " + name + "/" + when)
}

// transaction is one under way, with the statements that need not be read again for it.
type transaction struct {
	*sql.Tx
	upserts map[string]*sql.Stmt // by table
}

// prepareUpserts reads the two long statements once: almost every commit needs them.
func (s *Store) prepareUpserts(ctx context.Context) (map[string]*sql.Stmt, error) {
	s.preparing.Lock()
	defer s.preparing.Unlock()
	if s.upserts != nil {
		return s.upserts, nil
	}
	upserts := map[string]*sql.Stmt{}
	for t, columns := range map[table][]column{jobTable: jobColumns(&fleet.Job{}), instanceTable: instanceColumns(&fleet.Instance{})} {
		statement, err := s.db.PrepareContext(ctx, t.upsert(columns)) //nolint:sqlclosecheck // it lives as long as the database, which closes it
		if err != nil {
			return nil, err
		}
		upserts[t.name] = statement
	}
	s.upserts = upserts
	return upserts, nil
}

func write(ctx context.Context, tx transaction, change Change) error {
	for _, job := range change.Jobs {
		if job.ID <= 0 || job.Coordinator == "" || !job.State.Known() {
			return fmt.Errorf("job %d of %q in state %q is no record", job.ID, job.Coordinator, job.State)
		}
		if err := upsert(ctx, tx, jobTable, jobColumns(new(strip(job)))); err != nil {
			return fmt.Errorf("job %d: %w", job.ID, err)
		}
	}
	for _, instance := range change.Instances {
		if instance.Key == "" || !instance.State.Known() {
			return fmt.Errorf("instance %q in state %q is no record", instance.Key, instance.State)
		}
		if err := upsert(ctx, tx, instanceTable, instanceColumns(&instance)); err != nil {
			return fmt.Errorf("instance %s: %w", instance.Key, err)
		}
	}
	for _, runner := range change.Runners {
		if err := upsert(ctx, tx, runnerTable, runnerColumns(&runner)); err != nil {
			return fmt.Errorf("runner %s: %w", runner.Owner, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(change.Meta)) {
		value := change.Meta[key]
		if err := upsert(ctx, tx, metaTable, metaColumns(&key, &value)); err != nil {
			return fmt.Errorf("meta %s: %w", key, err)
		}
	}
	return writeNotes(ctx, tx.Tx, change.Notes)
}

// strip removes what a closed job has no use for (I7).
func strip(job fleet.Job) fleet.Job {
	if job.State == fleet.JobClosed {
		job.Token, job.Nonce, job.Payload = secret.String{}, secret.String{}, nil
	}
	return job
}

func upsert(ctx context.Context, tx transaction, t table, columns []column) error {
	if statement := tx.upserts[t.name]; statement != nil {
		here := tx.StmtContext(ctx, statement)
		defer func() { _ = here.Close() }() // the transaction does it too
		_, err := here.ExecContext(ctx, fields(columns)...)
		return err
	}
	_, err := tx.ExecContext(ctx, t.upsert(columns), fields(columns)...)
	return err
}

func writeNotes(ctx context.Context, tx *sql.Tx, notes []Note) error {
	for _, n := range notes {
		_, err := tx.ExecContext(ctx, `INSERT INTO notes (id, coordinator, job_id, noted_at, body)
			SELECT coalesce(max(id), 0) + 1, $1, $2, $3, $4 FROM notes`,
			n.Job.Coordinator, n.Job.ID, instant{&n.At}, shorten(n.Text))
		if err != nil {
			return fmt.Errorf("note of job %d: %w", n.Job.ID, err)
		}
	}
	if len(notes) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM notes WHERE id <= (SELECT max(id) FROM notes) - $1", notesInAll)
	if err != nil {
		return fmt.Errorf("old notes: %w", err)
	}
	return dropOldNotes(ctx, tx, notes)
}

func dropOldNotes(ctx context.Context, tx *sql.Tx, notes []Note) error {
	jobs := map[fleet.JobID]bool{}
	for _, n := range notes {
		jobs[n.Job] = true
	}
	var errs []error
	for _, id := range slices.SortedFunc(maps.Keys(jobs), compareJobs) {
		_, err := tx.ExecContext(ctx, `DELETE FROM notes WHERE coordinator = $1 AND job_id = $2 AND id <=
			(SELECT id FROM notes WHERE coordinator = $1 AND job_id = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)`,
			id.Coordinator, id.ID, notesPerJob)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func compareJobs(a, b fleet.JobID) int {
	return cmp.Or(cmp.Compare(a.Coordinator, b.Coordinator), cmp.Compare(a.ID, b.ID))
}

func shorten(text string) string {
	if len(text) <= noteBytes {
		return text
	}
	end := noteBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
