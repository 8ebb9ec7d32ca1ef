// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"bytes"
	"cmp"
	"crypto/sha1" // git names objects by it; it protects nothing
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"

	"heptapod-paas-runner/internal/fleet"
)

// signature is fixed: the same files must give the same commit, always.
const signature = "heptapod-paas-runner <heptapod-paas-runner@localhost> 946684800 +0000"

// object is one git object to push.
type object struct {
	kind plumbing.ObjectType
	hash plumbing.Hash
	data []byte
	keep bool // worth keeping compressed: the same in every push, and no secret
}

// commit is a commit and everything that it needs.
type commit struct {
	hash    plumbing.Hash
	objects []object
}

func newObject(kind plumbing.ObjectType, data []byte) object {
	h := sha1.New()
	h.Write([]byte(kind.String() + " " + strconv.Itoa(len(data)) + "\x00"))
	h.Write(data)
	o := object{kind: kind, data: data}
	copy(o.hash[:], h.Sum(nil))
	return o
}

// buildCommit makes the objects of a commit without parents.
func buildCommit(files []fleet.File, message string) (*commit, error) {
	if len(files) == 0 {
		return nil, errors.New("there is nothing to push")
	}
	root := folder{}
	for _, f := range files {
		if err := checkPath(f.Path); err != nil {
			return nil, err
		}
		if err := root.add(strings.Split(f.Path, "/"), f); err != nil {
			return nil, fmt.Errorf("path %q: %w", f.Path, err)
		}
	}
	c := &commit{}
	tree := c.addFolder(root)
	text := "tree " + tree.String() + "\nauthor " + signature + "\ncommitter " + signature + "\n\n" + strings.TrimRight(message, "\n") + "\n"
	c.hash = c.add(newObject(plumbing.CommitObject, []byte(text)))
	return c, nil
}

// checkPath accepts plain relative paths. What git itself would refuse (.git in any
// disguise) is refused here, before anything is sent.
func checkPath(path string) error {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) || strings.Contains(path, `\`) {
		return fmt.Errorf("path %q: want printable characters and no backslash", path)
	}
	for part := range strings.SplitSeq(path, "/") {
		switch plain := strings.TrimRight(strings.ToLower(part), ". "); {
		case part == "" || part == "." || part == "..":
			return fmt.Errorf("path %q: want a relative path inside the repository", path)
		case plain == ".git", strings.HasPrefix(plain, "git~"), strings.HasPrefix(plain, ".git:"):
			return fmt.Errorf("path %q: %s is git's own", path, part)
		}
	}
	return nil
}

// folder is a tree before it has a name: files and folders by their names.
type folder map[string]node

type node struct {
	file *fleet.File // nil for a folder
	sub  folder
}

func (d folder) add(parts []string, f fleet.File) error {
	name := parts[0]
	n, exists := d[name]
	if len(parts) == 1 {
		if exists {
			return errors.New("it occurs twice")
		}
		d[name] = node{file: &f}
		return nil
	}
	if exists && n.file != nil {
		return fmt.Errorf("%s is a file and a folder", name)
	}
	if !exists {
		n = node{sub: folder{}}
		d[name] = n
	}
	return n.sub.add(parts[1:], f)
}

type entry struct {
	name, mode string
	hash       plumbing.Hash
}

// addFolder adds the trees and blobs below d, and gives the tree's name.
func (c *commit) addFolder(d folder) plumbing.Hash {
	var entries []entry
	for name, n := range d {
		if n.file == nil {
			entries = append(entries, entry{name: name + "/", mode: "40000", hash: plumbing.ZeroHash})
			continue
		}
		entries = append(entries, entry{name: name, mode: mode(*n.file)})
	}
	// git sorts a folder as if its name ended with a slash.
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	var text bytes.Buffer
	for _, e := range entries {
		name := strings.TrimSuffix(e.name, "/")
		if n := d[name]; n.file == nil {
			e.hash = c.addFolder(n.sub)
		} else {
			blob := newObject(plumbing.BlobObject, n.file.Data)
			blob.keep = n.file.Executable
			e.hash = c.add(blob)
		}
		text.WriteString(e.mode + " " + name + "\x00")
		text.Write(e.hash[:])
	}
	return c.add(newObject(plumbing.TreeObject, text.Bytes()))
}

func mode(f fleet.File) string {
	if f.Executable {
		return "100755"
	}
	return "100644"
}

// add appends an object unless the commit has it: a pack must hold each once.
func (c *commit) add(o object) plumbing.Hash {
	if !slices.ContainsFunc(c.objects, func(have object) bool { return have.hash == o.hash }) {
		c.objects = append(c.objects, o)
	}
	return o.hash
}
