// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// openDatabase opens the file and reads through it once: a damaged ledger must be
// seen at the start, not when a machine has to be found in it.
func openDatabase(ctx context.Context, path string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dataSource(path))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	if err := quickCheck(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// dataSource asks for a commit that is on the disk when it returns (FULL), and for
// deleted secrets to be overwritten (secure_delete). The log is folded in early: a long
// one on a disk that fills up could be neither written nor folded in any more.
func dataSource(path string) string {
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)",
			"foreign_keys(1)", "secure_delete(1)", "trusted_schema(0)", "wal_autocheckpoint(64)",
		},
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

func quickCheck(ctx context.Context, db *sql.DB) error {
	var answer string
	err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer)
	if err != nil {
		return classify(err)
	}
	if answer != "ok" {
		return fmt.Errorf("%w: %s; restore a copy of the file", ErrDamaged, answer)
	}
	return nil
}

// classify adds to a database error what the manager has to know about it.
func classify(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	class := map[int]error{
		sqlite3.SQLITE_FULL:     ErrFull,
		sqlite3.SQLITE_READONLY: ErrReadOnly,
		sqlite3.SQLITE_PERM:     ErrReadOnly,
		sqlite3.SQLITE_CANTOPEN: ErrIO,
		sqlite3.SQLITE_IOERR:    ErrIO,
		sqlite3.SQLITE_CORRUPT:  ErrDamaged,
		sqlite3.SQLITE_NOTADB:   ErrNotLedger,
	}[e.Code()&0xff]
	if class == nil {
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}
