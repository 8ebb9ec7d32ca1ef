// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/revlist"
	"github.com/go-git/go-git/v5/storage/memory"
)

const deployedRef = plumbing.ReferenceName("refs/heads/master")

// repository is the deployment repository of one application.
type repository struct {
	mu    sync.Mutex
	store *memory.Storage
	held  []plumbing.Hash // blobs that are shared with other repositories
}

func newRepository() *repository { return &repository{store: memory.NewStorage()} }

// snapshot is the tree of one commit.
type snapshot struct {
	commit string
	files  map[string]treeFile
}

type treeFile struct {
	data       []byte // never modified
	executable bool
}

// refs lists the references, by name.
func (r *repository) refs() (map[plumbing.ReferenceName]plumbing.Hash, error) {
	list := map[plumbing.ReferenceName]plumbing.Hash{}
	iter, err := r.store.IterReferences()
	if err != nil {
		return nil, err
	}
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		list[ref.Name()] = ref.Hash()
		return nil
	})
	return list, err
}

func (r *repository) unpack(pack io.Reader) error {
	return packfile.UpdateObjectStorage(r.store, pack)
}

// setRef moves a reference the way that a push asks for, if it still is where the
// client thinks.
func (r *repository) setRef(name plumbing.ReferenceName, from, to plumbing.Hash) error {
	at := plumbing.ZeroHash
	if ref, err := r.store.Reference(name); err == nil {
		at = ref.Hash()
	}
	if at != from {
		return errors.New("failed to update ref")
	}
	if to.IsZero() {
		return errors.New("deletion prohibited")
	}
	if _, err := r.store.EncodedObject(plumbing.AnyObject, to); err != nil {
		return errors.New("missing necessary objects")
	}
	return r.store.SetReference(plumbing.NewHashReference(name, to))
}

// pack writes everything that the wanted commits need and the client has not.
func (r *repository) pack(w io.Writer, wants, haves []plumbing.Hash) error {
	known := haves[:0:0]
	for _, h := range haves {
		if r.store.HasEncodedObject(h) == nil {
			known = append(known, h)
		}
	}
	has, err := revlist.Objects(r.store, known, nil)
	if err != nil {
		return fmt.Errorf("walk what the client has: %w", err)
	}
	objects, err := revlist.Objects(r.store, wants, has)
	if err != nil {
		return fmt.Errorf("walk what the client wants: %w", err)
	}
	_, err = packfile.NewEncoder(w, r.store, false).Encode(objects, 10)
	return err
}

// snapshot reads the tree of a commit. Large files come out of the pool.
func (r *repository) snapshot(commit plumbing.Hash, pool *blobPool) (*snapshot, error) {
	c, err := object.GetCommit(r.store, commit)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", commit, err)
	}
	tree, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("tree of %s: %w", commit, err)
	}
	s := &snapshot{commit: commit.String(), files: map[string]treeFile{}}
	err = tree.Files().ForEach(func(f *object.File) error {
		data, err := pool.read(r, f)
		if err != nil {
			return fmt.Errorf("file %s: %w", f.Name, err)
		}
		s.files[f.Name] = treeFile{data: data, executable: f.Mode == filemode.Executable}
		return nil
	})
	return s, err
}
