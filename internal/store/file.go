// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

const (
	sqliteMagic  = "SQLite format 3\x00"
	sqliteHeader = 100 // bytes; a smaller file can't be a database
	ledgerMode   = fs.FileMode(0o600)
)

// resolve gives the one true path of the ledger: two managers that come by different
// symbolic links must meet at the same lock.
func resolve(path string) (string, error) {
	if path == "" {
		return "", errors.New("no path given")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err == nil {
		return real, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Lstat(abs); err == nil {
		return "", errors.New("it is a symbolic link to a file that doesn't exist")
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", explainFolder(filepath.Dir(abs), err)
	}
	return filepath.Join(folder, filepath.Base(abs)), nil
}

// checkFolder tells early, and in words that help, what would fail later: SQLite
// needs to create files beside the ledger.
func checkFolder(path string, statfs func(string) (int64, error)) error {
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	if err != nil {
		return explainFolder(folder, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", folder)
	}
	if statfs == nil {
		statfs = fileSystem
	}
	if err := checkFileSystem(folder, statfs); err != nil {
		return err
	}
	probe, err := os.CreateTemp(folder, ".writable-*")
	if err != nil {
		return explainFolder(folder, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func explainFolder(folder string, err error) error {
	who := whoAmI()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s doesn't exist: create it, writable for %s: %w", folder, who, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the folder %s must be writable for %s: %w", folder, who, err)
	default:
		return fmt.Errorf("the folder %s can't be written by %s: %w", folder, who, err)
	}
}

func whoAmI() string {
	uid := os.Geteuid()
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("user %s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("uid %d", uid)
}

// prepareFile creates the ledger's file, readable for its owner only whatever the
// umask says, or makes sure that the existing one is a database. SQLite gives
// the files beside it (-wal, -shm) the same mode.
func prepareFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, ledgerMode)
	if err == nil {
		return errors.Join(f.Chmod(ledgerMode), f.Sync(), f.Close(), syncFolder(path))
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file (%s); nothing was changed", ErrNotLedger, info.Mode())
	}
	if err := sniff(path); err != nil {
		return err
	}
	if info.Mode().Perm() == ledgerMode {
		return nil
	}
	if err := os.Chmod(path, ledgerMode); err != nil {
		return fmt.Errorf("it holds secrets and others may read it (mode %04o): %w", info.Mode().Perm(), err)
	}
	return nil
}

// sniff looks at the first bytes, because SQLite's own answer to a foreign file
// helps nobody.
func sniff(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s must own it: %w", whoAmI(), err)
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	head = head[:n]
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case n == 0: // created by us just before a crash
		return nil
	case looksLikeJSON(head):
		return fmt.Errorf("%w: it is a JSON file, probably the state file of the Python program, which is taken over "+
			"when the service starts; nothing was changed", ErrNotLedger)
	case n < sqliteHeader && bytes.HasPrefix(head, []byte(sqliteMagic)[:min(n, len(sqliteMagic))]):
		return fmt.Errorf("%w: the file is cut off after %d bytes; restore a copy; nothing was changed", ErrDamaged, n)
	case !bytes.HasPrefix(head, []byte(sqliteMagic)):
		return fmt.Errorf("%w: it is not an SQLite database; give another state file; nothing was changed", ErrNotLedger)
	}
	return nil
}

func looksLikeJSON(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(head) > 0 && (head[0] == '{' || head[0] == '[')
}

// syncFolder makes a created or renamed file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
