// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// reader takes keys out of one table and notes what is wrong with them.
type reader struct {
	file    *file
	section string // whose keys of the table of keys may stand here
	table   map[string]any
	path    string // of the table; "" = the file itself
	taken   map[string]bool
}

func (f *file) reader(section, path string, table map[string]any) *reader {
	return &reader{file: f, section: section, table: table, path: path, taken: map[string]bool{}}
}

func (r *reader) full(key string) string { return child(r.path, key) }

func (r *reader) bad(key, format string, args ...any) {
	r.file.problem(r.full(key), key, format, args...)
}

// absent is bad for what this computer or this environment lacks.
func (r *reader) absent(key, format string, args ...any) {
	r.bad(key, format, args...)
	r.file.problems[len(r.file.problems)-1].here = true
}

func (r *reader) warn(key, format string, args ...any) {
	r.file.warn(r.full(key), key, format, args...)
}

// written is a key as it is spelled in the file.
func (r *reader) written(name string) string {
	for _, spelling := range find(r.section, name).spellings() {
		if _, there := r.table[spelling]; there {
			return spelling
		}
	}
	return name
}

// line is where a key stands.
func (r *reader) line(key string) int { return r.file.at.at(r.full(key)) }

// has tells whether a key is there, in any spelling.
func (r *reader) has(name string) bool {
	k := find(r.section, name)
	if _, there := r.table[name+fileSuffix]; there && k.Kind == Secret {
		return true
	}
	return slices.ContainsFunc(k.spellings(), func(s string) bool { _, there := r.table[s]; return there })
}

// found is a value as it stands in the file, and the spelling of its key.
type found struct {
	key   Key
	name  string
	value any
}

// take takes a key by its preferred spelling or by an older one, which is warned about.
// It reports a required key that is missing.
func (r *reader) take(name string, kind Kind) (found, bool) {
	k := find(r.section, name)
	if k.Kind != kind {
		panic(fmt.Sprintf("config: key %q is a %s, read as a %s", name, k.Kind, kind))
	}
	out, there := found{key: k, name: name}, false
	for i, spelling := range k.spellings() {
		r.taken[spelling] = true
		value, ok := r.table[spelling]
		switch {
		case ok && there:
			r.bad(spelling, "line %d has %s, which says the same; keep %s only", r.line(out.name), out.name, name)
		case ok:
			out.value, out.name, there = value, spelling, true
			if i > 0 {
				r.warn(spelling, "accepted; the preferred spelling is %s", name)
			}
		}
	}
	if !there && k.Required && kind != Secret {
		r.missing(name, "it is required")
	}
	return out, there
}

// missing reports a key that is not there, and what may have been meant for it.
func (r *reader) missing(name, why string) {
	meant := ""
	for _, other := range slices.Sorted(maps.Keys(r.table)) {
		known := slices.Contains(names(r.section), other) || slices.Contains(foreignRunnerKeys(), other)
		if known {
			continue
		}
		if near := nearest(other, []string{name, name + fileSuffix}); near != "" && (near == name || find(r.section, name).Kind == Secret) {
			meant = fmt.Sprintf(" (line %d has %s: did you mean %s?)", r.line(other), other, near)
		}
	}
	r.bad(name, "missing%s; %s", meant, why)
}

// filePath takes a path; a relative one is relative to the configuration's folder.
func (r *reader) filePath(name string) string {
	at, ok := r.take(name, Path)
	if !ok {
		return ""
	}
	path, _ := r.stringOf(at)
	if path == "" && at.key.Required && at.value == "" {
		r.bad(name, "empty; it is required")
	}
	return r.absolute(path)
}

func (r *reader) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(r.file.path), path)
}

// sub takes a table; nil when there is none.
func (r *reader) sub(name, section string) *reader {
	at, ok := r.take(name, Table)
	if !ok {
		return nil
	}
	table, ok := at.value.(map[string]any)
	if !ok {
		r.bad(at.name, "found %s, want a table", what(at.value))
		return nil
	}
	return r.file.reader(section, r.full(at.name), table)
}

// shortest is how long a secret is at least: shorter texts are shown.
const shortest = 8

// what describes a value without showing longer text, which may be a secret.
func what(v any) string {
	switch v := v.(type) {
	case string:
		switch {
		case v == "":
			return "an empty string"
		case len(v) < shortest:
			return fmt.Sprintf("%q", v)
		}
		return "a string"
	case bool, int64, float64:
		return fmt.Sprint(v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "a date"
}

// kindOf describes a value without showing anything of it.
func kindOf(v any) string {
	switch v.(type) {
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	}
	return what(v)
}

// within is what may be shown of a text: all of it, but for credentials in a URL.
func within(s string) string {
	if strings.Contains(s, "@") {
		return "a text with @ in it"
	}
	return fmt.Sprintf("%q", s)
}
