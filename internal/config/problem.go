// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a file. No secret is ever in it.
type Problem struct {
	Path string // of the file
	Line int
	Key  string // "" when it is about the file as a whole
	Text string // what was found and what is allowed

	// here: it is about this computer and this environment, not about the file.
	here bool
}

// String is "file:line: key: text".
func (p Problem) String() string {
	place := fmt.Sprintf("%s:%d", p.Path, p.Line)
	if p.Line == 0 {
		place = p.Path // not in a file yet
	}
	if p.Key == "" {
		return place + ": " + p.Text
	}
	return place + ": " + p.Key + ": " + p.Text
}

// Error is everything that is wrong with a file, in the order of its lines.
type Error struct {
	Problems []Problem
	// Partial is the file as far as it could be read, with its warnings, for those who
	// want to find more; nil when it is no TOML.
	Partial *Config
}

// Error implements error: one problem a line.
func (e *Error) Error() string { return strings.Join(texts(e.Problems), "\n") }

func texts(problems []Problem) []string {
	out := make([]string, len(problems))
	for i, p := range problems {
		out[i] = p.String()
	}
	return out
}

// file is what all readers of one file share.
type file struct {
	path     string
	at       positions
	deps     deps
	problems []Problem
	warnings []Problem
	// openSecret is the first place where a secret stands in the file itself.
	openSecret string
}

// deps is the world that a file refers to.
type deps struct {
	env  func(name string) (string, bool)
	read func(path string) ([]byte, error)              // of a secret's file
	load func(path string) (string, fs.FileMode, error) // of any other file; nil = none is looked at
	mode func(path string) (fs.FileMode, error)
}

// readable tells whether others than its owner and group may read a file.
func (d deps) readable(path string) (fs.FileMode, bool) {
	if d.mode == nil || path == "" {
		return 0, false
	}
	mode, err := d.mode(path)
	return mode.Perm(), err == nil && mode.IsRegular() && mode.Perm()&0o004 != 0
}

func (f *file) problem(path, key, format string, args ...any) {
	f.problems = append(f.problems, Problem{Path: f.path, Line: f.at.at(path), Key: key, Text: fmt.Sprintf(format, args...)})
}

func (f *file) warn(path, key, format string, args ...any) {
	f.warnings = append(f.warnings, Problem{Path: f.path, Line: f.at.at(path), Key: key, Text: fmt.Sprintf(format, args...)})
}

// inOrder sorts by line.
func inOrder(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return problems
}
