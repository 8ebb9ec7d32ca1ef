// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration brings the schema from version-1 to version.
type migration struct {
	version int
	text    string
}

func embeddedMigrations() ([]migration, error) {
	entries, err := fs.ReadDir(migrationFiles, "migrations") // sorted by name
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, entry := range entries {
		digits, _, _ := strings.Cut(entry.Name(), "_")
		version, err := strconv.Atoi(digits)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %d", entry.Name(), i+1)
		}
		text, err := fs.ReadFile(migrationFiles, path.Join("migrations", entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version: version, text: string(text)})
	}
	return all, nil
}

// schema is what the ledger says of itself.
type schema struct {
	version int // 0 = an empty database
	release string
}

// migrate brings the schema up to the last of all, in one transaction, after
// keeping a copy of what was there. pass is called at the crash points of a change.
func migrate(ctx context.Context, db *sql.DB, file, release string, all []migration, pass func(string) error) error {
	have, err := readSchema(ctx, db)
	if err != nil {
		return err
	}
	want := all[len(all)-1].version
	if have.version == want {
		return nil
	}
	if have.version > want {
		return fmt.Errorf("%w: it has schema %d, this program knows schemas up to %d; use release %s or a later one, "+
			"or the copy that was kept before the change (%s.v%d.bak); nothing was changed",
			ErrNewer, have.version, want, cmp.Or(have.release, "(not recorded)"), file, want)
	}
	if have.version == 0 { // nothing to lose
		pass = func(string) error { return nil }
	} else if err := keepCopy(ctx, db, fmt.Sprintf("%s.v%d.bak", file, have.version), pass); err != nil {
		return fmt.Errorf("keep a copy before the change from schema %d to %d; nothing was changed: %w", have.version, want, err)
	}
	if err := apply(ctx, db, all[have.version:], release, pass); err != nil {
		return fmt.Errorf("change from schema %d to %d; nothing was changed: %w", have.version, want, classify(err))
	}
	return pass("migrate/changed")
}

func readSchema(ctx context.Context, db *sql.DB) (schema, error) {
	var tables, versioned int
	err := db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(name = 'schema_version'), 0)
		FROM sqlite_master WHERE type = 'table'`).Scan(&tables, &versioned)
	switch {
	case err != nil:
		return schema{}, classify(err)
	case tables == 0:
		return schema{}, nil
	case versioned == 0:
		return schema{}, fmt.Errorf("%w: it is an SQLite database of another program; give another state file; nothing was changed", ErrNotLedger)
	}
	var s schema
	err = db.QueryRowContext(ctx, "SELECT version, release_name FROM schema_version").Scan(&s.version, &s.release)
	if err == nil && s.version < 1 {
		err = fmt.Errorf("version %d", s.version)
	}
	if err != nil {
		return schema{}, fmt.Errorf("%w: its schema version can't be read: %w", ErrDamaged, classify(err))
	}
	return s, nil
}

func apply(ctx context.Context, db *sql.DB, todo []migration, release string, pass func(string) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version
		(version BIGINT NOT NULL, release_name TEXT NOT NULL)`); err != nil {
		return err
	}
	for _, m := range todo {
		if _, err := tx.ExecContext(ctx, m.text); err != nil {
			return fmt.Errorf("migration %d: %w", m.version, err)
		}
		if err := pass(fmt.Sprintf("migrate/step %d", m.version)); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM schema_version"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO schema_version (version, release_name) VALUES ($1, $2)",
		todo[len(todo)-1].version, release); err != nil {
		return err
	}
	if err := pass("migrate/before commit"); err != nil {
		return err
	}
	return tx.Commit()
}

// keepCopy writes a whole, consistent copy. It takes the place of an older copy of the
// same version only when it is complete.
func keepCopy(ctx context.Context, db *sql.DB, to string, pass func(string) error) error {
	if err := pass("migrate/begin"); err != nil {
		return err
	}
	tmp := to + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, ledgerMode)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(ledgerMode); err != nil { // whatever the umask says
		return err
	}
	// VACUUM INTO accepts an empty file, and so keeps its mode.
	if _, err := db.ExecContext(ctx, "VACUUM INTO $1", tmp); err != nil {
		return errors.Join(classify(err), os.Remove(tmp))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := pass("migrate/copied"); err != nil {
		return err
	}
	if err := os.Rename(tmp, to); err != nil {
		return err
	}
	if err := syncFolder(to); err != nil {
		return err
	}
	return pass("migrate/kept")
}
