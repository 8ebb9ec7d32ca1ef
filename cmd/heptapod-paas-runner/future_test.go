// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/store"
)

// A ledger that a later release wrote is refused with one sentence and not touched.
func TestLedgerOfTheFuture(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	state := filepath.Join(folder, "state.db")
	ledger, err := store.Open(t.Context(), store.Config{Path: state, Release: "7.8.9"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE schema_version SET version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "script", "run.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("-- paas.in --\n"))
	text, _, _ = bytes.Cut(text, []byte("-- relay --\n"))
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("${STATE}"), []byte(state)), []byte("${LISTEN}"), []byte("0"))
	for name, data := range map[string][]byte{"paas.toml": text, "relay": []byte("stands in for the relay")} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "heptapod-paas-runner", "paas.toml")
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != codeInvalid {
		t.Errorf("it ended with %v", err)
	}
	if line := strings.TrimSpace(string(out)); strings.Contains(line, "\n") || !strings.Contains(line, "schema 99") || !strings.Contains(line, "use release 7.8.9 or a later one") {
		t.Errorf("it said\n%s", line)
	}
	if after, err := os.ReadFile(state); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the ledger was touched: %v", err)
	}
}
