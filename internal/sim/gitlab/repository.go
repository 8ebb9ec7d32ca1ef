// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // git names objects by it
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// branch is the only branch of every repository.
const branch = "main"

// repository is a git repository with one commit of one file. It is made of its
// project's name, so that the same project has the same commit everywhere.
type repository struct {
	commit string
	pack   []byte
}

// The kinds of git objects, as packs number them.
const (
	kindCommit = 1
	kindTree   = 2
	kindBlob   = 3
)

// repo finds or makes the repository of a project; the caller holds the lock.
func (s *Server) repo(project string) *repository {
	if r, ok := s.repos[project]; ok {
		return r
	}
	blob := fmt.Appendf(nil, "# %s\n\nA repository of the simulator.\n", project)
	blobID := objectID("blob", blob)
	tree := append([]byte("100644 README.md\x00"), blobID...)
	const who = "Sim <sim@gitlab.example> 1767225600 +0000"
	commit := fmt.Appendf(nil, "tree %x\nauthor %s\ncommitter %s\n\nAdd a README\n", objectID("tree", tree), who, who)

	pack := append([]byte("PACK"), 0, 0, 0, 2, 0, 0, 0, 3)
	pack = packed(pack, kindCommit, commit)
	pack = packed(pack, kindTree, tree)
	pack = packed(pack, kindBlob, blob)
	sum := sha1.Sum(pack) //nolint:gosec // a pack ends with it
	r := &repository{hex.EncodeToString(objectID("commit", commit)), append(pack, sum[:]...)}
	s.repos[project] = r
	return r
}

// objectID is git's name of an object.
func objectID(kind string, content []byte) []byte {
	sum := sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", kind, len(content)), content...)) //nolint:gosec // git names objects by it
	return sum[:]
}

// packed appends an object to a pack: its kind and size, 7 bits at a time after the
// first 4, and its compressed content.
func packed(pack []byte, kind byte, content []byte) []byte {
	size := uint64(len(content))
	first := kind<<4 | byte(size&0xf)
	if size >>= 4; size > 0 {
		pack = binary.AppendUvarint(append(pack, first|0x80), size)
	} else {
		pack = append(pack, first)
	}
	var compressed bytes.Buffer
	z := zlib.NewWriter(&compressed)
	_, _ = z.Write(content) // a buffer takes everything
	_ = z.Close()
	return append(pack, compressed.Bytes()...)
}
