// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// render writes a [[runners]] section as people do: the keys of this program first, in
// the order of their table, then those of the sub-runner, then the tables.
func render(section map[string]any) (string, error) {
	w := &writer{}
	w.text.WriteString("[[runners]]\n")
	w.table(secRunner, section, "  ")
	return w.text.String(), w.err
}

type writer struct {
	text strings.Builder
	err  error // the first one
}

// table writes what stands below a header: plain values, then the tables in it.
func (w *writer) table(path string, table map[string]any, indent string) {
	keys := slices.SortedFunc(maps.Keys(table), byPlace)
	for _, key := range keys {
		if tables(table[key]) == nil {
			fmt.Fprintf(&w.text, "%s%s = %s\n", indent, w.key(key), w.value(table[key]))
		}
	}
	for _, key := range keys {
		brackets := [2]string{"[", "]"}
		if _, one := table[key].(map[string]any); !one {
			brackets = [2]string{"[[", "]]"}
		}
		for _, sub := range tables(table[key]) {
			below := path + "." + w.key(key)
			fmt.Fprintf(&w.text, "%s%s%s%s\n", indent, brackets[0], below, brackets[1])
			w.table(below, sub, indent+"  ")
		}
	}
}

// tables gives the tables that a value consists of; nil for any other value.
func tables(value any) []map[string]any {
	switch v := value.(type) {
	case map[string]any:
		return []map[string]any{v}
	case []map[string]any:
		if len(v) > 0 {
			return v
		}
	case []any:
		var out []map[string]any
		for _, item := range v {
			table, ok := item.(map[string]any)
			if !ok {
				return nil
			}
			out = append(out, table)
		}
		return out
	}
	return nil
}

// value writes a value that stands behind an equals sign.
func (w *writer) value(value any) string {
	_, text, _ := strings.Cut(w.pair("v", value), " = ")
	return text
}

// key writes a key, in quotes where it needs them.
func (w *writer) key(key string) string { return strings.TrimSuffix(w.pair(key, 0), " = 0") }

// pair leaves the writing to the TOML library, whose reading it has to survive.
func (w *writer) pair(key string, value any) string {
	raw, err := toml.Marshal(map[string]any{key: value})
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write %s: %w", key, err)
	}
	return strings.TrimSuffix(string(raw), "\n")
}

// byPlace orders keys: ours by their table, all others behind them by name.
func byPlace(a, b string) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
}

// rank is the number of a key in the table of keys.
func rank(key string) int {
	n := 0
	for _, k := range slices.Concat(runnerKeys(), cleverKeys()) {
		n++
		if key == k.Name || k.Kind == Secret && key == k.Name+fileSuffix {
			return n
		}
	}
	return n + 1
}

// Literal keeps a text from being read as ${NAME}, which would mean the environment.
func Literal(s string) string {
	return reference.ReplaceAllStringFunc(s, func(match string) string { return "$" + match })
}
