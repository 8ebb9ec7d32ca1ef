// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// packOf makes a pack of a commit with that tree, and of what belongs to it.
func packOf(t *testing.T, tree object, more ...object) (pack []byte, commit plumbing.Hash) {
	t.Helper()
	top := newObject(plumbing.CommitObject, []byte("tree "+tree.hash.String()+"\nauthor "+signature+"\ncommitter "+signature+"\n\nm\n"))
	pack, err := io.ReadAll(writePack(append([]object{top, tree}, more...), nil))
	if err != nil {
		t.Fatal(err)
	}
	return pack, top.hash
}

// folderOf has one thing in it under many names.
func folderOf(mode string, one object, names int) object {
	var text bytes.Buffer
	for i := range names {
		fmt.Fprintf(&text, "%s %05d\x00%s", mode, i, one.hash[:])
	}
	return newObject(plumbing.TreeObject, text.Bytes())
}

// Who may write to a deployment repository, its tenant, can put there what unpacks to more
// than any memory holds: a folder in itself many times, a file under many names, a stream
// that goes on after the size it said.
func TestBombsAreNotUnpacked(t *testing.T) {
	t.Parallel()
	blob := newObject(plumbing.BlobObject, []byte("x"))
	trees := []object{folderOf("100644", blob, 10)}
	for range 9 {
		trees = append(trees, folderOf("40000", trees[len(trees)-1], 10)) // ten to the tenth in the end
	}
	nested, nestedHash := packOf(t, trees[9], slices.Concat(trees[:9], []object{blob})...)
	big := newObject(plumbing.BlobObject, make([]byte, 8<<20))
	often, oftenHash := packOf(t, folderOf("100644", big, 900), big) // 7 GB
	deep := folderOf("100644", blob, 1)
	chain := []object{deep}
	for range 5000 {
		deep = folderOf("40000", deep, 1)
		chain = append(chain, deep)
	}
	long, longHash := packOf(t, deep, append(chain[:len(chain)-1], blob)...)
	for name, tc := range map[string]struct {
		pack []byte
		hash plumbing.Hash
	}{
		"folders in folders": {nested, nestedHash}, "one file often": {often, oftenHash}, "a deep folder": {long, longHash},
		"more than it said": {overlong(64 << 20), blob.hash},
	} {
		begun := time.Now()
		files, err := unpack(tc.pack, tc.hash)
		if !errors.Is(err, errTooLarge) && !errors.Is(err, packfile.ErrInflatedSizeMismatch) {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
		if len(tc.pack) > 2<<20 {
			t.Errorf("%s: the pack has %d bytes: nothing is tested", name, len(tc.pack))
		}
	}
}

// overlong is a pack with a blob that says one byte and unpacks to many.
func overlong(size int) []byte {
	var body bytes.Buffer
	body.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x01")
	body.Write(objectHeader(plumbing.BlobObject, 1))
	w := zlib.NewWriter(&body)
	_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", size)))
	_ = w.Close()
	sum := sha1.Sum(body.Bytes())
	return append(body.Bytes(), sum[:]...)
}
