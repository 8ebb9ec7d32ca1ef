// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" // the checksum of the pack format; it protects nothing
	"encoding/binary"
	"io"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	keepFrom = 64 << 10 // smaller objects are compressed faster than looked up
	keepMost = 4        // objects; there is one relay binary per architecture
)

// Cache keeps big executables in compressed form from one push to the next: the
// relay's binary is the same for every job, and compressing it takes longer than the
// rest of the push. Only executables are kept, never a job's own files. The zero
// value is ready; it may be used concurrently.
type Cache struct {
	mu       sync.Mutex
	packs    map[plumbing.Hash]*packed
	order    []plumbing.Hash // oldest first
	squeezes sync.Pool       // of *zlib.Writer: a megabyte each, and a push needs one for milliseconds
}

// squeeze lends a compressor; giveBack takes it. A nil cache makes one each time.
func (c *Cache) squeeze() *zlib.Writer {
	if c != nil {
		if w, ok := c.squeezes.Get().(*zlib.Writer); ok {
			return w
		}
	}
	return zlib.NewWriter(io.Discard)
}

func (c *Cache) giveBack(w *zlib.Writer) {
	if c != nil {
		w.Reset(io.Discard) // it holds nothing of what it compressed for somebody
		c.squeezes.Put(w)
	}
}

type packed struct {
	once sync.Once
	data []byte
}

// compressed gives the object's zlib stream. Concurrent calls for one object compress
// it once. A nil cache keeps nothing.
func (c *Cache) compressed(o object, w *zlib.Writer) []byte {
	if c == nil || !o.keep || len(o.data) < keepFrom {
		return deflate(o.data, w)
	}
	p := c.slot(o.hash)
	p.once.Do(func() { p.data = deflate(o.data, w) })
	return p.data
}

func (c *Cache) slot(hash plumbing.Hash) *packed {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.packs[hash]; ok {
		return p
	}
	if c.packs == nil {
		c.packs = map[plumbing.Hash]*packed{}
	}
	if len(c.order) == keepMost {
		delete(c.packs, c.order[0])
		c.order = c.order[1:]
	}
	p := &packed{}
	c.packs[hash] = p
	c.order = append(c.order, hash)
	return p
}

// deflate compresses with a writer that is used again for each object: it is a
// megabyte large.
func deflate(data []byte, w *zlib.Writer) []byte {
	var out bytes.Buffer
	w.Reset(&out)
	_, _ = w.Write(data) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// writePack gives a version 2 pack of the objects, each whole: "PACK", version,
// count, the objects, and the SHA-1 of it all. go-git's encoder would compress every
// object every time.
func writePack(objects []object, cache *Cache) io.ReadCloser {
	head := binary.BigEndian.AppendUint32([]byte("PACK"), 2)
	head = binary.BigEndian.AppendUint32(head, uint32(len(objects)))
	sum := sha1.New()
	sum.Write(head)
	parts := []io.Reader{bytes.NewReader(head)}
	squeeze := cache.squeeze()
	defer cache.giveBack(squeeze)
	for _, o := range objects {
		for _, part := range [][]byte{objectHeader(o.kind, len(o.data)), cache.compressed(o, squeeze)} {
			sum.Write(part)
			parts = append(parts, bytes.NewReader(part))
		}
	}
	parts = append(parts, bytes.NewReader(sum.Sum(nil)))
	return io.NopCloser(io.MultiReader(parts...))
}

// objectHeader is the type in three bits and the size in groups of 4, 7, 7, … bits,
// lowest first; the high bit says that more follow.
func objectHeader(kind plumbing.ObjectType, size int) []byte {
	b := byte(kind)<<4 | byte(size&0x0f)
	var out []byte
	for size >>= 4; size > 0; size >>= 7 {
		out = append(out, b|0x80)
		b = byte(size & 0x7f)
	}
	return append(out, b)
}
