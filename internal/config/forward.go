// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"
)

// forward is what the sub-runner gets of a section: every value that is not ours, as it
// stands, with its type. Its token is not among it (I7).
func (f *file) forward(r *reader, rc Runner) map[string]any {
	out := map[string]any{}
	folded := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		if !travels(key) {
			continue
		}
		value := r.table[key]
		f.strays(r.full(key), value)
		f.openSecretIn(r.full(key), value)
		lower := strings.ToLower(key)
		if first, twice := folded[lower]; twice {
			r.bad(key, "the sub-runner does not tell it from %s; keep one of them", first)
		}
		if _, isTable := value.(map[string]any); lower == "docker" && !isTable {
			r.bad(key, "found %s, want a table", what(value))
		}
		folded[lower] = key
		out[key] = value
	}
	for key, value := range map[string]string{"name": rc.Name, "url": rc.URL, "executor": rc.Executor} {
		if value != "" {
			out[key] = value // with the environment's values in it
		}
	}
	return out
}

// travels tells whether a key of a section is for the sub-runner too.
func travels(key string) bool {
	if ofOtherExecutors(key) {
		return false
	}
	if !ours(key) {
		return true
	}
	return slices.ContainsFunc(Keys(), func(k Key) bool { return k.Section == secRunner && k.Name == key && k.Forwarded })
}

// ofOtherExecutors tells the tables of executors that make machines themselves. The
// sub-runner has no use for them, and they may hold a cloud's credentials.
func ofOtherExecutors(key string) bool {
	return strings.EqualFold(key, "machine") || strings.EqualFold(key, "autoscaler")
}

// openSecretIn finds out whether what is forwarded holds a secret, by the keys' names.
func (f *file) openSecretIn(path string, value any) {
	table, ok := value.(map[string]any)
	if !ok {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		s, isText := table[key].(string)
		lower := strings.ToLower(key)
		for _, end := range []string{"secretkey", "accountkey", "privatekey", "sessiontoken", "password"} {
			if isText && s != "" && strings.HasSuffix(lower, end) && f.openSecret == "" {
				f.openSecret = child(path, key)
			}
		}
		f.openSecretIn(child(path, key), table[key])
	}
}
