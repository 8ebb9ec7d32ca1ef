// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testNames = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`)
	testFuncs = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w+)\(`)
)

// A page that says which test holds a claim says nothing when there is no such test.
func TestNamedTestsAreThere(t *testing.T) {
	t.Parallel()
	there, named := map[string]bool{}, 0
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	all := files(t)
	for _, path := range all {
		if strings.HasSuffix(path, "_test.go") {
			for _, found := range testFuncs.FindAllStringSubmatch(read(path), -1) {
				there[found[1]] = true
			}
		}
	}
	for _, path := range all {
		if !strings.HasSuffix(path, ".md") {
			continue
		}
		for _, name := range testNames.FindAllString(read(path), -1) {
			named++
			if !there[name] {
				t.Errorf("%s names %s: there is no such test", path, name)
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d tests are named: are the pages read?", named)
	}
}
