// SPDX-License-Identifier: Apache-2.0

// Package store is the ledger: all that must survive a crash, in one SQLite file.
// It is not a cache and takes no decision; it knows no legal moves. The one idea:
// a change is one transaction of whole records, and when Commit has returned nil
// the change is on the disk, whatever happens to the process next.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// Sentinels, matched with errors.Is.
var (
	// ErrHeld: another manager holds the ledger (exit code 5).
	ErrHeld = errors.New("held by another manager")
	// ErrNewer: a newer release wrote the ledger.
	ErrNewer = errors.New("written by a newer release")
	// ErrForeignFS: the file system can't be trusted with locks and durability.
	ErrForeignFS = errors.New("unfit file system")
	// ErrNotLedger: the file is something else, or damaged beyond recognition.
	ErrNotLedger = errors.New("not a ledger")
	// ErrDamaged: it is a ledger, but its content is corrupted.
	ErrDamaged = errors.New("ledger damaged")
	// ErrFull: no space left for the ledger. It may pass: try again.
	ErrFull = errors.New("no space left for the ledger")
	// ErrReadOnly: the ledger can't be written. It may pass: try again.
	ErrReadOnly = errors.New("ledger is read-only")
	// ErrIO: the disk answered with an error. It may pass: try again.
	ErrIO = errors.New("disk error")
)

// Hook is called around each commit, so that a test can cut the power there. When
// the point before answers with an error, nothing is applied; after, all is. Both
// errors are returned by Commit.
type Hook interface {
	Point(name string) error
}

// Config says which ledger to open.
type Config struct {
	Path    string   // the SQLite file; created when missing, its folder is not
	Release string   // this program's version, recorded with the schema ("" = unknown)
	Hook    Hook     // nil = none
	Import  Importer // nil = a JSON state file in the ledger's place is refused

	statfs func(path string) (int64, error) // the kind of file system; nil = ask the system
}

// Store is an open ledger. Its methods may be called concurrently; they take turns.
type Store struct {
	path string
	hook Hook
	db   *sql.DB
	lock *lock

	preparing sync.Mutex
	upserts   map[string]*sql.Stmt // by table; nil = not prepared yet
}

// Open takes the lock of the ledger, creates or migrates the file, checks it and
// opens it. The errors say what to do about them.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	path, err := resolve(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", cfg.Path, err)
	}
	s, err := open(ctx, path, cfg)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	return s, nil
}

func open(ctx context.Context, path string, cfg Config) (*Store, error) {
	if err := checkFolder(path, cfg.statfs); err != nil {
		return nil, err
	}
	held, err := takeLock(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, hook: cfg.Hook, lock: held}
	if err := s.importOld(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.prepare(ctx, cfg.Release); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare brings the file to the present schema. s.lock is held.
func (s *Store) prepare(ctx context.Context, release string) error {
	if err := prepareFile(s.path); err != nil {
		return err
	}
	db, err := openDatabase(ctx, s.path)
	if err != nil {
		return err
	}
	s.db = db
	all, err := embeddedMigrations()
	if err != nil {
		return err
	}
	return migrate(ctx, db, s.path, release, all, s.pass)
}

// Close folds the write-ahead log into the file and gives the lock back.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if err = errors.Join(err, s.lock.release()); err != nil {
		return fmt.Errorf("close ledger %s: %w", s.path, err)
	}
	return nil
}

// SQLiteVersion is the version of the database engine that is built in.
func (s *Store) SQLiteVersion(ctx context.Context) (string, error) {
	var version string
	err := s.db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version)
	return version, classify(err)
}
