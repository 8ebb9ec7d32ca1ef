// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"modernc.org/sqlite"
)

// Peek reads one value of a ledger's Meta without opening the ledger: it takes no lock and
// changes nothing, whoever holds the ledger at the moment. "" when the value is not
// recorded, or when there is no ledger.
func Peek(ctx context.Context, path, key string) (string, error) {
	path, err := resolve(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var value string
	if err == nil {
		err = sniff(path)
	}
	if err == nil {
		value, err = peek(ctx, path, key)
	}
	if err != nil {
		return "", fmt.Errorf("look into ledger %s: %w", path, err)
	}
	return value, nil
}

func peek(ctx context.Context, path, key string) (string, error) {
	query := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(1000)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		query.Set("immutable", "1") // nobody has it open: read it alone, and make no files beside it
	}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }() // nothing was written
	if have, err := readSchema(ctx, db); err != nil || have.version == 0 {
		return "", err
	}
	var value string
	err = db.QueryRowContext(ctx, "SELECT meta_value FROM meta WHERE meta_key = $1", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, classify(err)
}
