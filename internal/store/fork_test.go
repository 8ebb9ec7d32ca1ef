// SPDX-License-Identifier: Apache-2.0

//go:build linux

package store

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A copy of the lock file that another process holds for a moment, as a fork makes it,
// does not keep the lock after Close.
func TestClosedLockIsFreeThoughACopyIsOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db.lock")
	l, err := takeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(l.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	forked := os.NewFile(uintptr(fd), "copy")
	defer func() { _ = forked.Close() }()
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	again, err := takeLock(path)
	if err != nil {
		t.Fatalf("the lock is held after its release: %v", err)
	}
	if err := again.release(); err != nil {
		t.Fatal(err)
	}
}
