// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"
)

// leftovers reports the keys of a table of ours that nobody has taken.
func (r *reader) leftovers() {
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		if !r.taken[key] {
			r.unknown(key)
		}
	}
}

// unknown reports a key that nobody reads: an error when it is misspelled or stands in
// the wrong table, since its effect would be missed without a word.
func (r *reader) unknown(key string) {
	near := hint(key, names(r.section))
	switch {
	case slices.Contains(names(secGlobal), key):
		r.bad(key, "stands in %s; a global key stands above the first line in brackets", header(r.path))
	case r.section != secRunner && slices.Contains(names(secRunner), key):
		r.bad(key, "stands in %s; it belongs directly below [[runners]]", header(r.path))
	case near != "":
		r.bad(key, "unknown key%s", near)
	default:
		r.warn(key, "unknown key, without effect")
	}
}

// unknownGlobals warns about global keys that nobody reads: most are misspelled.
func (r *reader) unknownGlobals() {
	known := append(names(secGlobal), foreignGlobals()...)
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		switch {
		case r.taken[key], slices.Contains(foreignGlobals(), key):
		case slices.Contains(names(secRunner), key):
			r.warn(key, "has no effect here; it belongs into a [[runners]] section")
		case slices.Contains(names(secQuota), key):
			r.warn(key, "has no effect here; it belongs into [quota_computation]")
		default:
			r.warn(key, "unknown key%s", hint(key, known))
		}
	}
}

// unknownOfRunner looks at the keys of a [[runners]] section that nobody has taken. Those
// that look like ours are wrong; all others are the sub-runner's.
func (r *reader) unknownOfRunner(executor string) {
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		known := slices.Contains(names(secRunner), key)
		theirs := slices.Contains(foreignRunnerKeys(), key)
		switch {
		case ofOtherExecutors(key):
			r.warn(key, "is left out of what instances are given: it is for the executors docker+machine and docker-autoscaler, and may hold credentials; remove it")
		case known && !r.taken[key] && executor != "":
			r.warn(key, "has no effect with executor %s", executor)
		case r.taken[key], known, theirs:
		case ours(key):
			r.unknown(key)
		case slices.Contains(names(secGlobal), key) && distinct(key):
			r.unknown(key)
		case slices.Contains(names(secGlobal), key):
			r.warn(key, "is forwarded to the sub-runner; a global key stands above the first line in brackets")
		default:
			r.misspelled(key)
		}
	}
}

// misspelled reports a key that nobody knows and that is like a known one. A secret of ours
// would travel under such a name, and so that is wrong.
func (r *reader) misspelled(key string) {
	switch near := nearest(key, append(names(secRunner), foreignRunnerKeys()...)); {
	case near == "":
	case confidential(near):
		r.bad(key, "unknown key (did you mean %s?); as it is spelled it would travel to the instances", near)
	default:
		r.warn(key, "unknown here, forwarded to the sub-runner (did you mean %s?)", near)
	}
}

// confidential tells whether a key of a [[runners]] section is a secret of ours, or the table
// that holds one.
func confidential(name string) bool {
	return slices.ContainsFunc(keysOf(secRunner), func(k Key) bool {
		return (k.Kind == Secret || k.Name == secWatch) && slices.Contains(k.spellings(), name)
	})
}

// distinct tells whether a name can mean nothing but our key, wherever it stands.
func distinct(key string) bool {
	switch key {
	case "state_file", "quota_computation", "reference_runner", "reference_flavor", "reference_jobs_count", "sub_runner", "job_trace_watch":
		return true
	}
	known := slices.Contains(names(secGlobal), key) || slices.Contains(names(secRunner), key)
	return known && (strings.HasPrefix(key, "cc_") || strings.HasPrefix(key, "paas_") || strings.HasPrefix(key, "pass_") || strings.HasPrefix(key, "heptapod_"))
}

// strays reports our keys in the sub-tables that are handed on. In TOML a key belongs to
// the last header above it, and so it is easily put there; it would have no effect, and a
// credential would travel to every instance.
func (f *file) strays(path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if distinct(key) {
				f.problem(child(path, key), key, "stands in %s, where it has no effect and would travel to the instances; move it %s", header(path), place(key))
				continue
			}
			f.strays(child(path, key), v[key])
		}
	case []map[string]any:
		for i, table := range v {
			f.strays(element(path, i), table)
		}
	case []any:
		for i, item := range v {
			f.strays(element(path, i), item)
		}
	}
}

// place says where a key belongs.
func place(key string) string {
	switch {
	case slices.Contains(names(secRunner), key):
		return "up, directly below its [[runners]]"
	case slices.Contains(names(secQuota), key):
		return "to [quota_computation]"
	}
	return "above the first line in brackets"
}

// header writes a path as it stands in the file: runners[0].docker is [runners.docker].
func header(path string) string {
	var out strings.Builder
	inside := false
	for _, c := range path {
		switch {
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case !inside:
			out.WriteRune(c)
		}
	}
	return "[" + out.String() + "]"
}
