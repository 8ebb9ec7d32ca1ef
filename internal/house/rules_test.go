// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The limits of a file and a function. The style asks for 300 and 45; these are
// where it stops.
const (
	maxLines     = 500
	maxTestLines = 800
	maxFuncLines = 80
)

func TestEveryGoFileNamesItsLicence(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if f.first != "// SPDX-License-Identifier: Apache-2.0" {
			t.Errorf("%s: the first line is %q, want the SPDX line", f.path, f.first)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	said, seen := map[string]bool{}, map[string]bool{}
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.file.Name.Name, "_test") || strings.Contains(f.path, "/testdata/") {
			continue
		}
		dir := path.Dir(f.path)
		seen[dir] = true
		want := "Package " + f.file.Name.Name + " "
		if f.file.Name.Name == "main" {
			want = "Command " + path.Base(dir) + " "
		}
		if f.file.Doc != nil && strings.HasPrefix(f.file.Doc.Text(), want) {
			said[dir] = true
		}
	}
	for dir := range seen {
		if !said[dir] {
			t.Errorf("%s: no package comment that begins with Package or Command and its name", dir)
		}
	}
}

func TestPackageNamesSaySomething(t *testing.T) {
	t.Parallel()
	empty := []string{"common", "util", "utils", "helper", "helpers", "types", "models", "misc", "base"}
	for _, f := range goFiles(t) {
		if slices.Contains(empty, f.file.Name.Name) {
			t.Errorf("%s: package %s says nothing about what is in it", f.path, f.file.Name.Name)
		}
	}
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		limit := maxLines
		if f.isTest() {
			limit = maxTestLines
		}
		if f.lines > limit {
			t.Errorf("%s: %d lines, the stop is %d", f.path, f.lines, limit)
		}
		if f.isTest() {
			continue // a table or a story may be long
		}
		for _, decl := range f.file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			if n > maxFuncLines {
				t.Errorf("%s: %s has %d lines, the stop is %d", f.path, fn.Name.Name, n, maxFuncLines)
			}
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		for _, decl := range f.file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init runs behind the reader's back; let main do it", f.fset.Position(fn.Pos()))
			}
		}
	}
}

// A skipped test looks like a passed one, and a test that sleeps is slow when it
// passes and wrong when the machine is busy. Under -short, which needs nothing but Go,
// a test that needs more may be skipped.
func TestTestsNeitherSkipNorSleep(t *testing.T) {
	t.Parallel()
	all := goFiles(t)
	bubbles := map[string]bool{} // folders whose tests run in simulated time
	for _, f := range all {
		if importsSynctest(f) {
			bubbles[path.Dir(f.path)] = true
		}
	}
	for _, f := range all {
		if !f.isTest() {
			continue
		}
		short := underShort(f)
		ast.Inspect(f.file, func(n ast.Node) bool {
			receiver, name := called(n)
			switch {
			case name == "Skip" || name == "Skipf" || name == "SkipNow":
				if !short(n.Pos()) {
					t.Errorf("%s: a skipped test tests nothing", f.fset.Position(n.Pos()))
				}
			case name == "Sleep" && receiver == "time" && !bubbles[path.Dir(f.path)]:
				t.Errorf("%s: time.Sleep outside of testing/synctest", f.fset.Position(n.Pos()))
			}
			return true
		})
	}
}

// called gives x and f of a call x.f().
func called(n ast.Node) (receiver, name string) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return "", ""
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if x, ok := selector.X.(*ast.Ident); ok {
		receiver = x.Name
	}
	return receiver, selector.Sel.Name
}

// underShort tells which positions of a file are inside of `if testing.Short()`.
func underShort(f goFile) func(token.Pos) bool {
	var blocks []*ast.IfStmt
	ast.Inspect(f.file, func(n ast.Node) bool {
		if block, ok := n.(*ast.IfStmt); ok {
			if receiver, name := called(block.Cond); receiver == "testing" && name == "Short" {
				blocks = append(blocks, block)
			}
		}
		return true
	})
	return func(at token.Pos) bool {
		return slices.ContainsFunc(blocks, func(b *ast.IfStmt) bool { return b.Body.Pos() <= at && at < b.Body.End() })
	}
}

func importsSynctest(f goFile) bool {
	return slices.ContainsFunc(f.file.Imports, func(i *ast.ImportSpec) bool {
		return i.Path.Value == `"testing/synctest"`
	})
}

// Where packages come from is a matter of the machine, not of the repository: a host
// written down here would be asked by every clone.
func TestNoRegistryIsNamed(t *testing.T) {
	t.Parallel()
	hosts := []string{
		"proxy." + "golang.org", "sum." + "golang.org", "goproxy" + ".io", "goproxy" + ".cn",
		"registry." + "npmjs.org", "deb." + "debian.org", "security." + "debian.org",
		"pypi" + ".org", "index." + "crates.io", "archive." + "ubuntu.com",
	}
	for _, file := range files(t) {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			if strings.Contains(string(text), host) {
				t.Errorf("%s names %s", file, host)
			}
		}
	}
}
