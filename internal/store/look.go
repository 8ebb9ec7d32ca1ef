// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Place is what stands where a ledger is, or would be made.
type Place struct {
	Path   string // the true one
	Exists bool
	Old    []byte // the content of a JSON state file, which Open would import; nil = none
}

// Look tells whether Open would find, or could make, a ledger at a path. It takes no lock
// and changes nothing, so it may be called while a manager works.
func Look(path string) (Place, error) {
	real, err := resolve(path)
	if err != nil {
		return Place{}, fmt.Errorf("state file %s: %w", path, err)
	}
	place := Place{Path: real}
	if err := checkFolder(real, nil); err != nil {
		return place, fmt.Errorf("state file %s: %w", real, err)
	}
	info, err := os.Stat(real)
	if errors.Is(err, fs.ErrNotExist) {
		return place, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is not a regular file (%s)", ErrNotLedger, info.Mode())
	}
	if err != nil {
		return place, fmt.Errorf("state file %s: %w", real, err)
	}
	place.Exists = true
	if place.Old, _, err = (&Store{path: real}).readOld(); err == nil && place.Old == nil {
		err = sniff(real)
	}
	if err != nil {
		return place, fmt.Errorf("state file %s: %w", real, err)
	}
	if place.Old != nil {
		return place, nil // it is replaced as a whole, not written
	}
	return place, writable(real)
}

// writable opens a file as Open will have to.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("state file %s: %s must be able to write it: %w", path, whoAmI(), err)
	}
	return f.Close()
}
