// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"

	"golang.org/x/sys/unix"
)

// fileSystem gives the magic number of the file system that holds path.
func fileSystem(path string) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return int64(uint32(st.Type)), err //nolint:unconvert // the type differs between architectures
	}
}
