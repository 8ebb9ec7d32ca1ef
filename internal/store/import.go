// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// Importer makes the first content of a ledger out of the JSON state file that stands in
// its place; backup is where that file will be kept. An error leaves everything as it was.
type Importer func(old []byte, backup string) (Change, error)

// maxImport bounds what is read as a state file: thousands of jobs with their payloads.
const maxImport = 256 << 20

// importOld turns a JSON state file into a ledger; other files are left alone. The old
// file stays in its place until the new one, whole and on the disk, takes it in a single
// step: whenever the process dies, the next start finds either of them and does the same.
func (s *Store) importOld(ctx context.Context, cfg Config) error {
	old, modified, err := s.readOld()
	if err != nil || old == nil || cfg.Import == nil {
		return err // without an importer, sniff says what the file is
	}
	backup, kept, err := s.backupName(old, modified)
	if err != nil {
		return err
	}
	change, err := cfg.Import(old, backup)
	if err != nil {
		return fmt.Errorf("%w: %w; nothing was changed", ErrNotLedger, err)
	}
	if err := s.noLeftovers(); err != nil {
		return err
	}
	if err := s.pass("import/read"); err != nil {
		return err
	}
	if !kept {
		if err := s.keepOld(old, backup); err != nil {
			return fmt.Errorf("keep a copy of the old state as %s; nothing was changed: %w", backup, err)
		}
	}
	if err := s.pass("import/kept"); err != nil {
		return err
	}
	fresh := s.path + ".importing"
	if err := s.build(ctx, fresh, cfg.Release, change); err != nil {
		return errors.Join(fmt.Errorf("make a ledger of the old state; nothing was changed: %w", err), removeLedger(fresh))
	}
	if err := s.pass("import/built"); err != nil {
		return err
	}
	if err := os.Rename(fresh, s.path); err != nil {
		return fmt.Errorf("put the new ledger in the place of the old state; nothing was changed: %w", err)
	}
	if err := s.pass("import/replaced"); err != nil {
		return err
	}
	return syncFolder(s.path)
}

// pass is a crash point outside of commits.
func (s *Store) pass(name string) error {
	if s.hook == nil {
		return nil
	}
	return s.hook.Point(name)
}

// readOld reads the file when it is JSON, and tells when it was last written; nil when it
// is something else, or not there.
func (s *Store) readOld() ([]byte, string, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s must own it: %w", whoAmI(), err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, "", err
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, "", err
	}
	if !looksLikeJSON(head[:n]) {
		return nil, "", nil
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxImport))
	if err == nil && len(rest) == maxImport {
		err = fmt.Errorf("%w: a JSON file of more than 256 MiB", ErrNotLedger)
	}
	return append(head[:n], rest...), info.ModTime().UTC().Format("20060102T150405Z"), err
}

// backupName finds the name under which the old file is kept: that of the day when it was
// written, so that a second try finds the copy of the first; kept tells whether it did.
func (s *Store) backupName(old []byte, modified string) (name string, kept bool, err error) {
	base := s.path + ".python-" + modified
	for i := range 100 {
		name = base
		if i > 0 {
			name += "-" + strconv.Itoa(i+1)
		}
		there, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return name, false, nil
		case err != nil:
			return "", false, err
		case bytes.Equal(there, old):
			return name, true, nil
		}
	}
	return "", false, fmt.Errorf("there are a hundred copies named %s already", base)
}

// noLeftovers refuses a write-ahead log that stands beside the old file: it belongs to a
// database that was there before, and SQLite would take it for the new ledger's.
func (s *Store) noLeftovers() error {
	for _, end := range []string{"-wal", "-journal"} {
		if _, err := os.Lstat(s.path + end); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("beside the JSON state file stands %s%s of another database: move it away; nothing was changed", s.path, end)
		}
	}
	return nil
}

// keepOld writes the copy, whole or not at all.
func (s *Store) keepOld(old []byte, backup string) error {
	tmp := backup + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, ledgerMode)
	if err != nil {
		return err
	}
	_, err = f.Write(old)
	err = errors.Join(err, f.Chmod(ledgerMode), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := s.pass("import/copied"); err != nil {
		return err
	}
	if err := os.Rename(tmp, backup); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncFolder(backup)
}

// build makes a whole ledger of one change, under another name.
func (s *Store) build(ctx context.Context, path, release string, change Change) error {
	if err := removeLedger(path); err != nil { // of a try that was cut
		return err
	}
	if err := prepareFile(path); err != nil {
		return err
	}
	db, err := openDatabase(ctx, path)
	if err != nil {
		return err
	}
	if err := errors.Join(s.fill(ctx, db, path, release, change), db.Close()); err != nil {
		return err
	}
	for _, end := range []string{"-wal", "-journal"} {
		if _, err := os.Lstat(path + end); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s%s is left: the file is not whole without it", path, end)
		}
	}
	return syncFile(path)
}

func (s *Store) fill(ctx context.Context, db *sql.DB, path, release string, change Change) error {
	all, err := embeddedMigrations()
	if err != nil {
		return err
	}
	if err := migrate(ctx, db, path, release, all, s.pass); err != nil {
		return err
	}
	if err := s.pass("import/empty"); err != nil {
		return err
	}
	return (&Store{path: path, hook: s.hook, db: db}).Commit(ctx, change)
}

func removeLedger(path string) error {
	var errs []error
	for _, end := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
