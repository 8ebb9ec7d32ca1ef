// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/secret"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Path string // of the file
	Line int
	Key  string // "" when it is about the file as a whole
	Text string
}

// String is "file:line: key: text".
func (p Problem) String() string {
	if p.Key == "" {
		return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.Path, p.Line, p.Key, p.Text)
}

// Error is everything that is wrong with a file.
type Error struct {
	Problems []Problem
}

// Error implements error: one problem a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// reader takes keys out of one table and notes what is wrong with them.
type reader struct {
	file  *file
	table map[string]any
	path  string // of the table; "" = the file itself
	taken map[string]bool
}

// file is what all readers of one file share.
type file struct {
	path     string
	at       positions
	problems []Problem
	warnings []string
	env      func(string) (string, bool)
}

func (f *file) problem(path, key, format string, args ...any) {
	f.problems = append(f.problems, Problem{f.path, f.at.at(path), key, fmt.Sprintf(format, args...)})
}

func (f *file) warn(path, format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf("%s:%d: %s", f.path, f.at.at(path), fmt.Sprintf(format, args...)))
}

func (f *file) reader(table map[string]any, path string) *reader {
	return &reader{file: f, table: table, path: path, taken: map[string]bool{}}
}

func (r *reader) full(key string) string {
	if r.path == "" {
		return key
	}
	return r.path + "." + key
}

func (r *reader) bad(key, format string, args ...any) {
	r.file.problem(r.full(key), key, format, args...)
}

// get takes a key by its preferred spelling or an older one, which is warned about.
func (r *reader) get(key string, older ...string) (any, string, bool) {
	r.taken[key] = true
	value, ok := r.table[key]
	used := key
	for _, alias := range older {
		r.taken[alias] = true
		v, there := r.table[alias]
		switch {
		case there && ok:
			r.bad(alias, "%s says the same and is set too; keep %s only", used, key)
		case there:
			value, ok, used = v, true, alias
			r.file.warn(r.full(alias), "%s: accepted; the preferred spelling is %s", alias, key)
		}
	}
	return value, used, ok
}

func kind(v any) string {
	switch v := v.(type) {
	case string:
		return "a string"
	case bool:
		return fmt.Sprint(v)
	case int64:
		return fmt.Sprint(v)
	case float64:
		return fmt.Sprint(v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "a date"
}

// str takes a string; ${NAME} in it comes from the environment.
func (r *reader) str(key, fallback string, older ...string) string {
	v, used, ok := r.get(key, older...)
	if !ok {
		return fallback
	}
	s, ok := v.(string)
	if !ok {
		r.bad(used, "found %s, want a string", kind(v))
		return fallback
	}
	return r.expand(used, s)
}

var envName = regexp.MustCompile(`\$\{[^}]*\}`)

func (r *reader) expand(key, s string) string {
	return envName.ReplaceAllStringFunc(s, func(m string) string {
		name := m[2 : len(m)-1]
		value, ok := r.file.env(name)
		if !ok {
			r.bad(key, "the environment variable %s is not set", name)
		}
		return value
	})
}

// text takes a string that must not be empty.
func (r *reader) text(key string) string {
	if _, there := r.table[key]; !there {
		r.taken[key] = true
		r.bad(key, "missing; it is required")
		return ""
	}
	s := r.str(key, "")
	if v, isText := r.table[key].(string); isText && strings.TrimSpace(v) == "" {
		r.bad(key, "empty; it is required")
	}
	return s
}

// choice takes a string out of a list.
func (r *reader) choice(key, fallback string, allowed ...string) string {
	s := r.str(key, fallback)
	if s != fallback && !slices.Contains(allowed, s) {
		r.bad(key, "found %q, want one of: %s%s", s, strings.Join(allowed, ", "), nearest(s, allowed))
		return fallback
	}
	return s
}

// whole takes an integer of at least the given minimum.
func (r *reader) whole(key string, fallback, least int, older ...string) int {
	v, used, ok := r.get(key, older...)
	if !ok {
		return fallback
	}
	n, ok := v.(int64)
	if f, isFloat := v.(float64); isFloat && f == math.Trunc(f) && math.Abs(f) < 1e9 {
		n, ok = int64(f), true
	}
	if !ok || n < int64(least) || n > 1e9 {
		r.bad(used, "found %s, want a whole number of at least %d", kind(v), least)
		return fallback
	}
	return int(n)
}

// seconds takes a duration in seconds, whole or not, of at least the given minimum.
func (r *reader) seconds(key string, fallback, least float64, older ...string) time.Duration {
	v, used, ok := r.get(key, older...)
	n := fallback
	if ok {
		switch v := v.(type) {
		case int64:
			n = float64(v)
		case float64:
			n = v
		default:
			ok = false
		}
		if !ok || math.IsNaN(n) || n < least || n > 1e8 {
			r.bad(used, "found %s, want a number of seconds of at least %v", kind(v), least)
			n = fallback
		}
	}
	return time.Duration(n * float64(time.Second))
}

func (r *reader) yes(key string, fallback bool, older ...string) bool {
	v, used, ok := r.get(key, older...)
	if !ok {
		return fallback
	}
	b, ok := v.(bool)
	if !ok {
		r.bad(used, "found %s, want true or false", kind(v))
		return fallback
	}
	return b
}

// secret takes a secret from its key or from the file that key_file names.
func (r *reader) secret(key string, required bool) secret.String {
	fileKey := key + "_file"
	_, plain := r.table[key]
	_, byFile := r.table[fileKey]
	r.taken[key], r.taken[fileKey] = true, true
	switch {
	case plain && byFile:
		r.bad(fileKey, "%s is set too; keep one of them", key)
	case byFile:
		return r.secretFile(fileKey)
	case plain:
		value := r.str(key, "")
		if value == "" && required && r.isString(key) {
			r.bad(key, "empty; it is required")
		}
		return secret.New(value)
	case required:
		r.bad(key, "missing; set it, or %s to the path of a file that holds it", fileKey)
	}
	return secret.String{}
}

func (r *reader) isString(key string) bool {
	_, ok := r.table[key].(string)
	return ok
}

func (r *reader) secretFile(key string) secret.String {
	path := r.filePath(key)
	if path == "" {
		return secret.String{}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		r.bad(key, "%v", err)
		return secret.String{}
	}
	value := strings.TrimSpace(string(raw))
	if value == "" {
		r.bad(key, "%s is empty", path)
	}
	if strings.ContainsAny(value, "\r\n") {
		r.bad(key, "%s holds several lines, want one", path)
	}
	return secret.New(value)
}

// filePath takes a path; a relative one is relative to the configuration file.
func (r *reader) filePath(key string) string {
	path := r.str(key, "")
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(r.file.path), path)
}

// sub takes a table; nil when there is none.
func (r *reader) sub(key string, older ...string) *reader {
	v, used, ok := r.get(key, older...)
	if !ok {
		return nil
	}
	table, ok := v.(map[string]any)
	if !ok {
		r.bad(used, "found %s, want a table", kind(v))
		return nil
	}
	return r.file.reader(table, r.full(used))
}
