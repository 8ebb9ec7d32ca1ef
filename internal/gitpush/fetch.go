// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"

	"heptapod-paas-runner/internal/fleet"
)

const (
	fetchLimit   = 64 << 20  // bytes on the wire
	inflateLimit = 256 << 20 // bytes in memory: a small pack can hold a huge file
	filesLimit   = 1000      // names in all folders: a small tree can hold itself many times
)

// Fetch reads the files of the branch's newest commit, in order of their paths.
// fleet.ErrNotFound when the branch doesn't exist. Links and submodules, which Push
// never makes, are left out.
func Fetch(ctx context.Context, target Target, branch string) ([]fleet.File, error) {
	files, err := fetch(ctx, target, branch)
	if err != nil {
		return nil, fmt.Errorf("fetch branch %s of %s: %w", branch, target.name(), err)
	}
	return files, nil
}

func fetch(ctx context.Context, target Target, branch string) ([]fleet.File, error) {
	ref, err := branchRef(branch)
	if err != nil {
		return nil, permanent(err)
	}
	c, err := target.connect(transport.UploadPackServiceName, fetchLimit)
	if err != nil {
		return nil, permanent(err)
	}
	session, err := c.transport().NewUploadPackSession(c.endpoint, c.auth)
	if err != nil {
		return nil, permanent(err)
	}
	refs, err := c.advertised(ctx, session)
	if err != nil {
		return nil, err
	}
	if refs == nil || refs.References[ref.String()].IsZero() {
		return nil, permanent(fmt.Errorf("the branch: %w", fleet.ErrNotFound))
	}
	hash := refs.References[ref.String()]
	request := packp.NewUploadPackRequest() // no side band: the answer is the pack and nothing else
	request.Wants = []plumbing.Hash{hash}
	response, err := session.UploadPack(ctx, request)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	pack, err := io.ReadAll(response)
	if err = errors.Join(err, response.Close()); err != nil {
		return nil, c.explain(ctx, err)
	}
	files, err := unpack(pack, hash)
	if err != nil {
		return nil, permanent(c.redact(err))
	}
	return files, nil
}

// unpack reads the files of one commit out of a pack.
func unpack(pack []byte, hash plumbing.Hash) ([]fleet.File, error) {
	if err := checkInflated(pack, inflateLimit); err != nil {
		return nil, err
	}
	objects := memory.NewStorage()
	if err := packfile.UpdateObjectStorage(objects, bytes.NewReader(pack)); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	commit, err := gitobject.GetCommit(objects, hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	tree, err := commit.Tree()
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	walk := walk{objects: objects}
	if err := walk.folder("", tree); err != nil {
		return nil, fmt.Errorf("files of commit %s: %w", hash, err)
	}
	return walk.files, nil
}

// walk collects the files of a tree. One file or folder may stand in it under many names,
// so names and bytes are counted, not objects.
type walk struct {
	objects *memory.Storage
	files   []fleet.File
	names   int
	bytes   int64
}

func (w *walk) folder(path string, tree *gitobject.Tree) error {
	for _, e := range tree.Entries {
		name := path + e.Name
		if w.names++; w.names > filesLimit {
			return errTooLarge
		}
		if err := checkPath(name); err != nil {
			return err
		}
		switch e.Mode {
		case filemode.Dir:
			below, err := gitobject.GetTree(w.objects, e.Hash)
			if err != nil {
				return fmt.Errorf("folder %q: %w", name, err)
			}
			if err := w.folder(name+"/", below); err != nil {
				return err
			}
		case filemode.Regular, filemode.Deprecated, filemode.Executable:
			if err := w.file(name, e); err != nil {
				return fmt.Errorf("file %q: %w", name, err)
			}
		}
	}
	return nil
}

func (w *walk) file(name string, e gitobject.TreeEntry) error {
	blob, err := gitobject.GetBlob(w.objects, e.Hash)
	if err != nil {
		return err
	}
	if w.bytes += blob.Size; w.bytes > inflateLimit {
		return errTooLarge
	}
	reader, err := blob.Reader()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(reader)
	w.files = append(w.files, fleet.File{Path: name, Data: data, Executable: e.Mode == filemode.Executable})
	return errors.Join(err, reader.Close())
}

// checkInflated adds up what the pack's objects say they need in memory, deltas'
// results included, before anything is kept.
func checkInflated(pack []byte, limit int64) error {
	scanner := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := scanner.Header()
	if err != nil {
		return fmt.Errorf("pack header: %w", err)
	}
	var total int64
	for range count {
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return fmt.Errorf("pack object: %w", err)
		}
		if total += header.Length; header.Length < 0 || total < 0 || total > limit {
			return errTooLarge
		}
		var start firstBytes
		if _, _, err := scanner.NextObject(&start); err != nil {
			return fmt.Errorf("pack object: %w", err)
		}
		if header.Type.IsDelta() {
			size := deltaResult(start)
			if total += size; size < 0 || total < 0 || total > limit {
				return errTooLarge
			}
		}
	}
	return nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes []byte

func (b *firstBytes) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), 2*binary.MaxVarintLen64-len(*b))]...)
	return len(p), nil
}

// deltaResult reads the size of a delta's result: the second number in it.
func deltaResult(delta []byte) int64 {
	_, n := binary.Uvarint(delta)
	if n <= 0 {
		return -1
	}
	size, m := binary.Uvarint(delta[n:])
	if m <= 0 || size > 1<<62 {
		return -1
	}
	return int64(size)
}
