// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Draft is a configuration file that is about to get one more runner. It may not be
// there yet.
type Draft struct {
	Path string // as it was given

	target  string      // where the symbolic links lead
	info    os.FileInfo // nil: there is no such file
	text    string
	needs   Needs
	runners []Runner
	jobs    int // its `concurrent`
	deps    deps
}

// ReadDraft reads a file and finds out whether a runner can be added to it: that its
// folder is there, that it may be written, and that it is valid but for what the addition
// will bring. An *Error lists what is wrong with its contents.
func ReadDraft(path string) (*Draft, error) {
	d := &Draft{Path: path, deps: outside()}
	if err := d.locate(); err != nil {
		return nil, err
	}
	if d.info != nil {
		text, _, err := readAll(d.target)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		d.text = text
	}
	if err := d.understand(); err != nil {
		return nil, err
	}
	return d, nil
}

// understand reads the text.
func (d *Draft) understand() error {
	table := map[string]any{}
	if _, err := toml.Decode(d.text, &table); err != nil {
		return &Error{Problems: []Problem{syntax(d.Path, err)}}
	}
	f := &file{path: d.Path, at: scan(d.text), deps: d.deps}
	f.inline(d.text, table)
	if len(f.problems) > 0 {
		return &Error{Problems: f.problems}
	}
	d.needs = needsOf(d.text, table)
	cfg := f.parse(d.text)
	d.runners, d.jobs = cfg.Runners, cfg.Concurrent
	return d.trial(table)
}

// New tells whether there is no file yet.
func (d *Draft) New() bool { return d.info == nil }

// Needs says what the file lacks besides the runner.
func (d *Draft) Needs() Needs { return d.needs }

// Concurrent is how many jobs at once the file allows.
func (d *Draft) Concurrent() int { return d.jobs }

// Expected is the runner that the file's quota refers to, when no runner is there yet.
func (d *Draft) Expected() string {
	if len(d.runners) > 0 || d.needs.Quota {
		return ""
	}
	var quota struct {
		Table struct {
			Runner string `toml:"reference_runner"`
		} `toml:"quota_computation"`
	}
	_, _ = toml.Decode(d.text, &quota) // was decoded before
	return quota.Table.Runner
}

// hasHeader tells whether a text has a table, by a line in brackets.
func hasHeader(text string) bool {
	s := scanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1, found: positions{}, arrays: map[string]int{}}
	for s.pos < len(s.text) && s.table == "" {
		s.statement()
	}
	return s.table != ""
}

func sortedKeys(table map[string]any) []string { return slices.Sorted(maps.Keys(table)) }

// absentFile tells whether an error only says that there is no such file.
func absentFile(err error) bool { return errors.Is(err, fs.ErrNotExist) }
