// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// look describes a folder: names, sizes, modes and times of change.
func look(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name()+" "+info.Mode().String()+" "+info.ModTime().String())
	}
	return out
}

// One value is read whoever holds the ledger, and nothing changes on the disk.
func TestPeek(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.db")
	see := func(when, want string) {
		t.Helper()
		before := look(t, folder)
		got, err := Peek(t.Context(), path, "system_id")
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", when, got, err, want)
		}
		if after := look(t, folder); !slices.Equal(before, after) {
			t.Errorf("%s: the folder was\n%q, is\n%q", when, before, after)
		}
	}
	see("before there is one", "")
	s := mustOpen(t, Config{Path: path})
	see("held and without it", "")
	mustCommit(t, s, Change{Meta: map[string]string{"system_id": "r_1", "other": "x"}})
	see("held, just committed", "r_1")
	mustClose(t, s)
	see("closed", "r_1")
	s = mustOpen(t, Config{Path: path})
	mustCommit(t, s, Change{Meta: map[string]string{"system_id": "r_2"}})
	see("changed since", "r_2")
	mustClose(t, s)
}

// What can't be read is said, and left as it is.
func TestPeekElsewhere(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	other := filepath.Join(folder, "other.db")
	sqlFile(t, other, "CREATE TABLE bookmarks (url TEXT)")
	text := filepath.Join(folder, "text")
	writeFile(t, text, `{"jobs": {}}`)
	empty := filepath.Join(folder, "empty")
	writeFile(t, empty, "")
	for path, fails := range map[string]bool{
		other: true, text: true, folder: true, empty: false,
		filepath.Join(folder, "none"): false, filepath.Join(folder, "no", "folder"): false,
	} {
		before := look(t, folder)
		got, err := Peek(t.Context(), path, "system_id")
		if got != "" || (err != nil) != fails {
			t.Errorf("%s: %q, %v", path, got, err)
		}
		if after := look(t, folder); !slices.Equal(before, after) {
			t.Errorf("%s: the folder was\n%q, is\n%q", path, before, after)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(folder, "ledger.db")
	mustClose(t, mustOpen(t, Config{Path: path}))
	if _, err := Peek(ctx, path, "system_id"); err == nil {
		t.Error("looked though nobody waits")
	}
}
