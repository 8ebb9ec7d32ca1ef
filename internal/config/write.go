// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	lockPause   = 50 * time.Millisecond // between two tries to get the lock
	lockTimeout = 2 * time.Minute       // longer than any registration takes
)

// Lock keeps other registrations out of the file's folder until it is released. It locks
// the folder itself: the file is about to be replaced, and a file of its own would lie
// around for ever.
func (d *Draft) Lock(ctx context.Context) (release func(), err error) {
	dir := filepath.Dir(d.target)
	folder, err := os.Open(dir)
	if err != nil {
		return func() {}, nil //nolint:nilerr // a folder that may be written but not read: Commit still sees what others did
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			// Locked, or on a file system that has no locks: Commit still sees what others did.
			return func() { folder.Close() }, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			folder.Close()
			return nil, fmt.Errorf("wait for another registration in %s: %w", dir, context.Cause(ctx))
		}
	}
}

// Replacement is the place for a file's new contents. It is made before anything is
// registered, so that owner, mode and room on the disk are no surprise afterwards.
type Replacement struct {
	draft *Draft
	temp  *os.File // beside the file; nil: the file is appended to where it is
}

// Reserve makes the place, big enough for text. Discard has to be called in the end.
func (d *Draft) Reserve(text string) (*Replacement, error) {
	r := &Replacement{draft: d}
	if d.info != nil && links(d.info) > 1 {
		return r, nil // replaced, it would be another file than under its other names
	}
	name := filepath.Join(filepath.Dir(d.target), "."+filepath.Base(d.target)+".register")
	if err := os.Remove(name); err != nil && !absentFile(err) {
		return nil, fmt.Errorf("remove what an earlier registration left: %w", err)
	}
	temp, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write beside %s: %w", d.Path, err)
	}
	r.temp = temp
	if err := errors.Join(r.likeBefore(), r.fill(text)); err != nil {
		r.Discard()
		return nil, err
	}
	return r, nil
}

// likeBefore gives the new file the owner and the mode of the old one.
func (r *Replacement) likeBefore() error {
	old := r.draft.info
	if old == nil {
		return r.temp.Chmod(0o600) // whatever the umask
	}
	info, err := r.temp.Stat()
	if err != nil {
		return err
	}
	uid, gid, _ := ids(old)
	if nowUID, nowGID, _ := ids(info); uid != nowUID || gid != nowGID {
		if err := r.temp.Chown(uid, gid); err != nil {
			return fmt.Errorf("user %s can't keep the owner %s of %s (%w): run this as that user, or as root", me(), ownerOf(old), r.draft.Path, err)
		}
	}
	return r.temp.Chmod(old.Mode())
}

func (r *Replacement) fill(text string) error {
	err := r.temp.Truncate(0)
	if err == nil {
		_, err = r.temp.WriteAt([]byte(text), 0)
	}
	if err == nil {
		err = r.temp.Sync()
	}
	if err != nil {
		return fmt.Errorf("write beside %s: %w", r.draft.Path, err)
	}
	return nil
}

// Commit makes text, which begins with what was there, the file's contents: all of it or
// nothing. A file that somebody changed meanwhile is left alone.
func (r *Replacement) Commit(text string) error {
	if err := r.unchanged(); err != nil {
		return err
	}
	if r.temp == nil {
		return r.inPlace(text)
	}
	if err := r.fill(text); err != nil {
		return err
	}
	target := r.draft.target
	err := os.Rename(r.temp.Name(), target)
	if r.draft.info != nil && (errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV)) {
		return r.inPlace(text) // a file that is mounted by itself, as containers do
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", r.draft.Path, err)
	}
	if dir, err := os.Open(filepath.Dir(target)); err == nil {
		_ = dir.Sync() // the file is in place; what a power cut could undo can't be mended here
		dir.Close()
	}
	return nil
}

// unchanged looks whether the file is still what was read.
func (r *Replacement) unchanged() error {
	d := r.draft
	if d.info == nil {
		if _, err := os.Lstat(d.target); !absentFile(err) {
			return fmt.Errorf("%s was made by somebody else meanwhile; nothing is written", d.Path)
		}
		return nil
	}
	text, _, err := readAll(d.target)
	if err != nil {
		return fmt.Errorf("read %s again: %w", d.Path, err)
	}
	if text != d.text {
		return fmt.Errorf("%s was changed by somebody else meanwhile; nothing is written", d.Path)
	}
	return nil
}

// inPlace appends to the file as it is, and takes everything back if that fails.
func (r *Replacement) inPlace(text string) error {
	d := r.draft
	file, err := os.OpenFile(d.target, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("append to %s: %w", d.Path, err)
	}
	_, err = file.WriteString(text[len(d.text):])
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("append to %s: %w", d.Path, err), file.Truncate(int64(len(d.text))))
	}
	return errors.Join(err, file.Close())
}

// Discard removes what is left of the place.
func (r *Replacement) Discard() {
	if r.temp != nil {
		_ = os.Remove(r.temp.Name()) // gone already after Commit
		_ = r.temp.Close()
	}
}

func links(info os.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(stat.Nlink) //nolint:unconvert // 16 bits on some systems
}
