// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"strings"
	"testing"
)

// Who comes from the Python program finds each of its keys, in every spelling, in the
// table that says what it is now.
func TestMigratingNamesEveryOldKey(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(raw), "### The configuration, key by key")
	table, _, ended := strings.Cut(table, "### The command line")
	if !found || !ended {
		t.Fatal("docs/migrating.md has lost its table of keys")
	}
	for _, k := range Keys() {
		if k.Source != Seed && k.Source != Python {
			continue
		}
		for _, name := range k.spellings() {
			if name != "token" && !strings.Contains(table, "`"+name+"`") {
				t.Errorf("%s is not in the table", name)
			}
		}
	}
}
