// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the top of the repository, seen from this package.
const root = "../.."

// goFile is one Go file of ours, parsed.
type goFile struct {
	path  string // from the top, with slashes
	lines int
	first string
	file  *ast.File
	fset  *token.FileSet
}

// goFiles parses every Go file of the repository.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			t.Fatalf("parse %s: %v", path, err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		out = append(out, goFile{path: path, lines: strings.Count(string(text), "\n"), first: first, file: parsed, fset: fset})
	}
	if len(out) < 20 {
		t.Fatalf("found %d Go files: is this the top of the repository?", len(out))
	}
	return out
}

// files lists every file of the repository that people write, from the top.
func files(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			if slices.Contains([]string{".git", "bin", "dist"}, rel) {
				return fs.SkipDir
			}
			return nil
		}
		out = append(out, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// isTest tells whether a file is compiled for tests only.
func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }
