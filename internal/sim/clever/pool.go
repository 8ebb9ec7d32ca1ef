// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"io"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const pooledSize = 64 << 10 // blobs from this size on are shared

// blobPool keeps one copy of each large file, however many repositories have it:
// thousands of applications are given the same program of several megabytes.
type blobPool struct {
	mu    sync.Mutex
	blobs map[plumbing.Hash]*pooledBlob
}

type pooledBlob struct {
	object plumbing.EncodedObject
	data   []byte
	uses   int
}

func newBlobPool() *blobPool { return &blobPool{blobs: map[plumbing.Hash]*pooledBlob{}} }

// read gives a file's content. Needs the repository's lock.
func (p *blobPool) read(r *repository, f *object.File) ([]byte, error) {
	if f.Size >= pooledSize {
		if data, ok := p.share(r, f.Hash); ok {
			return data, nil
		}
	}
	reader, err := f.Reader()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	if f.Size >= pooledSize {
		p.add(r, f.Hash, data)
	}
	return data, reader.Close()
}

// share puts the pooled copy in the place of the repository's own.
func (p *blobPool) share(r *repository, hash plumbing.Hash) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	blob := p.blobs[hash]
	if blob == nil {
		return nil, false
	}
	blob.uses++
	r.held = append(r.held, hash)
	r.store.Objects[hash], r.store.Blobs[hash] = blob.object, blob.object
	return blob.data, true
}

func (p *blobPool) add(r *repository, hash plumbing.Hash, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.held = append(r.held, hash)
	if blob := p.blobs[hash]; blob != nil { // somebody else was faster
		blob.uses++
		return
	}
	p.blobs[hash] = &pooledBlob{object: r.store.Objects[hash], data: data, uses: 1}
}

// release empties a repository and drops what nobody uses any more.
func (p *blobPool) release(r *repository) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, hash := range r.held {
		if blob := p.blobs[hash]; blob != nil {
			if blob.uses--; blob.uses == 0 {
				delete(p.blobs, hash)
			}
		}
	}
	fresh := newRepository()
	r.store, r.held = fresh.store, nil
}
