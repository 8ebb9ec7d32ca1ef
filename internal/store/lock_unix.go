// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lock is a held lock file. The kernel gives the lock back when the process ends,
// however it ends; the file stays, since removing it would be a race.
type lock struct{ file *os.File }

func takeLock(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, ledgerMode)
	if err != nil {
		return nil, fmt.Errorf("open the lock file, which %s must own: %w", whoAmI(), err)
	}
	if err := flock(f); err != nil {
		holder := holderOf(f)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w%s: stop it first, or give this one another state file", ErrHeld, holder)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &lock{file: f}
	if err := l.sign(); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), l.release())
	}
	return l, nil
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sign writes the process id, for the error message of the next one only.
func (l *lock) sign() error {
	err := errors.Join(l.file.Chmod(ledgerMode), l.file.Truncate(0))
	if err != nil {
		return err
	}
	// A full disk is no reason to refuse: the lock itself needs no space.
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return err
	}
	return nil
}

func holderOf(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid, errPID := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || errPID != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

func (l *lock) release() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	// Unlocked by name: a process that was just forked may hold a copy of the file for a
	// moment, and closing ours alone would leave the lock with it.
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}
