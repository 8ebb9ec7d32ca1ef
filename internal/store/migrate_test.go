// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// earlierLedgers puts a ledger of every earlier schema and release into folders of their own.
func earlierLedgers(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "v1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"v1": filepath.Join(t.TempDir(), "ledger.db")}
	sqlFile(t, all["v1"], string(text))
	kept, err := filepath.Glob("../e2e/testdata/releases/*/state.db")
	if err != nil || len(kept) < 2 {
		t.Fatalf("ledgers of earlier releases: %v, %v", kept, err)
	}
	for _, path := range kept {
		name := filepath.Base(filepath.Dir(path))
		all[name] = filepath.Join(t.TempDir(), "ledger.db")
		copyFile(t, path, all[name])
	}
	return all
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, string(data))
}

// rowsOf gives all that a database holds, table by table, but for what the present schema
// adds: those columns have their defaults.
func rowsOf(t *testing.T, path string) map[string][]string {
	t.Helper()
	db, err := openDatabase(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string][]string{}
	for _, table := range []string{"jobs", "instances", "runners", "meta"} {
		out[table] = tableOf(t, db, table)
	}
	return out
}

func tableOf(t *testing.T, db *sql.DB, table string) (lines []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	for err == nil && rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		err = rows.Scan(into...)
		line := ""
		for i, column := range columns {
			if added := column == "namespace" && values[i] == "" || column == "namespace_id" && values[i] == int64(0); !added {
				line += fmt.Sprintf("%s=%v ", column, values[i])
			}
		}
		lines = append(lines, line)
	}
	if err := errors.Join(err, rows.Err()); err != nil {
		t.Fatal(err)
	}
	return lines
}

// The process is killed at every point of the change of a ledger; the next start comes to
// the same result, with every row and a copy of what was there.
func TestKilledMigrations(t *testing.T) {
	t.Parallel()
	for name, path := range earlierLedgers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := &hookAt{}
			first := filepath.Join(t.TempDir(), "ledger.db")
			copyFile(t, path, first)
			mustClose(t, mustOpen(t, Config{Path: first, Hook: probe}))
			if name == "v1" && len(probe.seen) < 6 {
				t.Fatalf("only %d points: %q", len(probe.seen), probe.seen)
			}
			before := rowsOf(t, path)
			for _, point := range append(probe.seen, "") {
				again := filepath.Join(t.TempDir(), "ledger.db")
				copyFile(t, path, again)
				if point != "" {
					killAt(t, again, point)
				}
				mustClose(t, mustOpen(t, Config{Path: again}))
				if diff := cmp.Diff(before, rowsOf(t, again)); diff != "" {
					t.Errorf("killed at %q: rows (-before +after):\n%s", point, diff)
				}
				copies, err := filepath.Glob(again + ".v*.bak")
				if err != nil || len(copies) != min(1, len(probe.seen)) {
					t.Errorf("killed at %q: copies %q, %v", point, copies, err)
				}
				for _, kept := range copies {
					if diff := cmp.Diff(before, rowsOf(t, kept)); diff != "" {
						t.Errorf("killed at %q: rows of the copy (-before +after):\n%s", point, diff)
					}
				}
			}
		})
	}
}

// killAt opens a ledger in a process that is killed at a point, twice where it can be.
func killAt(t *testing.T, path, point string) {
	t.Helper()
	for try := range 2 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), importChildEnv+"="+path+"|"+point)
		err := child.Run()
		exit, _ := errors.AsType[*exec.ExitError](err)
		if status, ok := sysOf(exit); try == 0 && (!ok || status.Signal() != syscall.SIGKILL) {
			t.Fatalf("the child was not killed at %q, but ended: %v", strings.TrimSpace(point), err)
		}
	}
}
