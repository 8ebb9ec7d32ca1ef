// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key is one key that this program reads. The table of all keys is what the reading, the
// search for unknown keys and their near misses, and the documentation's test go by.
type Key struct {
	Section  string // "" = global, else the table that it stands in
	Name     string
	Kind     Kind
	Default  any      // string, int, bool or time.Duration; nil = none
	Required bool     // at least for some executors
	Least    float64  // of Count and Seconds
	Cut      bool     // of Count: a fraction is cut off, not refused
	Choices  []string // of Choice
	Older    []string // other spellings, taken with a warning
	Source   Source
	// Forwarded keys are for the sub-runner too; the others never travel.
	Forwarded bool
}

// Kind is the type of a key's value.
type Kind string

// The kinds. A Secret may stand in a file instead, which the key with `_file` behind its
// name tells; relative paths are relative to the folder of the configuration.
const (
	Text    Kind = "text"
	Secret  Kind = "secret"
	Path    Kind = "path"
	URL     Kind = "URL"
	Choice  Kind = "choice"
	Count   Kind = "count"
	Seconds Kind = "seconds"
	Switch  Kind = "switch"
	Table   Kind = "table"
	List    Kind = "list" // of texts
)

// Source says where a key comes from.
type Source string

// The sources.
const (
	Seed   Source = "seed"   // the documentation of the Python program
	Python Source = "python" // read by the Python program, not documented there
	GitLab Source = "gitlab-runner"
	New    Source = "new"
)

// The tables of the file that hold keys of ours.
const (
	secGlobal = ""
	secQuota  = "quota_computation"
	secRunner = "runners"
	secWatch  = "job_trace_watch"
)

// fileSuffix makes the name of the key that tells a secret's file.
const fileSuffix = "_file"

// DefaultText is the default as it is documented: seconds as a plain number.
func (k Key) DefaultText() string {
	switch v := k.Default.(type) {
	case nil:
		if k.Required {
			return "required"
		}
		return "none"
	case time.Duration:
		return strconv.FormatFloat(v.Seconds(), 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// spellings are all names under which a key is read, the preferred one first, without
// that of a secret's file.
func (k Key) spellings() []string { return append([]string{k.Name}, k.Older...) }

// names lists what may stand in a section, in every spelling.
func names(section string) []string {
	var out []string
	for _, k := range keysOf(section) {
		out = append(out, k.spellings()...)
		if k.Kind == Secret {
			out = append(out, k.Name+fileSuffix)
		}
	}
	return out
}

// find gives a key's row. A key that is read but not in the table is a mistake in this
// package, which its tests find.
func find(section, name string) Key {
	keys := keysOf(section)
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("config: key %q of section %q is not in the table", name, section))
	}
	return keys[i]
}

// ours tells whether a key of a [[runners]] section can only be meant for this program,
// however it is written: it is never forwarded.
func ours(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range []string{"cc_", "paas_", "pass_", "heptapod_"} {
		if strings.HasPrefix(strings.ReplaceAll(lower, "-", "_"), prefix) {
			return true
		}
	}
	return slices.Contains(names(secRunner), lower)
}
