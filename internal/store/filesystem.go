// SPDX-License-Identifier: Apache-2.0

package store

import "fmt"

// foreignFileSystems are those on which a lock may not exclude and an fsync may not
// last, by the magic number that Linux gives them (statfs(2)).
var foreignFileSystems = map[int64]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x65735546: "FUSE or virtiofs",
	0x01021997: "9p",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x73757245: "Coda",
	0x564c:     "NCP",
	0x00c36400: "Ceph",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
	0x01161970: "GFS2",
	0x7461636f: "OCFS2",
	0x786f4256: "VirtualBox shared folder",
}

func checkFileSystem(folder string, statfs func(string) (int64, error)) error {
	magic, err := statfs(folder)
	if err != nil {
		return fmt.Errorf("ask for the file system of %s: %w", folder, err)
	}
	name, foreign := foreignFileSystems[magic]
	if !foreign {
		return nil
	}
	return fmt.Errorf("%w: %s is on %s, where locks and synced writes can't be relied on; put the state file on a local disk",
		ErrForeignFS, folder, name)
}
