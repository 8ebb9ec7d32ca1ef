// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Looking finds what Open would find, while a manager works too, and leaves no trace.
func TestLook(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.db")
	if place, err := Look(path); err != nil || place.Exists || place.Path != path {
		t.Errorf("nothing there: %+v, %v", place, err)
	}
	if left := listFolder(t, folder); len(left) != 0 {
		t.Errorf("looking left %q", left)
	}
	s := mustOpen(t, Config{Path: path})
	before := listFolder(t, folder)
	if place, err := Look(path); err != nil || !place.Exists || place.Old != nil {
		t.Errorf("a ledger at work: %+v, %v", place, err)
	}
	if diff := cmp.Diff(before, listFolder(t, folder)); diff != "" {
		t.Errorf("looking left files (-before +after):\n%s", diff)
	}
	mustClose(t, s)
	old := putOld(t, t.TempDir(), oldState)
	if place, err := Look(old); err != nil || string(place.Old) != oldState {
		t.Errorf("an old state: %+v, %v", place, err)
	}
	if err := os.Chmod(old, 0o400); err != nil { // root may write it all the same
		t.Fatal(err)
	}
	if _, err := Look(old); err != nil {
		t.Errorf("an old state that can only be read: %v", err)
	}
}

func TestLookAtWhatCantBe(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	other := filepath.Join(folder, "other")
	writeFile(t, other, strings.Repeat("no ledger ", 50))
	for path, want := range map[string]string{
		other: "not an SQLite database", folder: "not a regular file", filepath.Join(folder, "no", "such.db"): "create it, writable for",
	} {
		if _, err := Look(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	if _, err := Look(other); !errors.Is(err, ErrNotLedger) {
		t.Errorf("got %v", err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(folder, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := Look(filepath.Join(folder, "x.db")); !errors.Is(err, os.ErrPermission) {
			t.Errorf("got %v", err)
		}
	}
}
