// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// Global is what a new file has to say besides its runner.
type Global struct {
	StateFile  string
	Concurrent int
	Quota      Quota // of the runner that is added, when it names none
}

// Needs says which parts of Global a file lacks.
type Needs struct {
	StateFile, Concurrent, Quota bool
}

// needsOf looks at what a file has. A file that has a table can't be given global keys
// by appending: then they are no need but a mistake, which is told when it is checked.
func needsOf(text string, table map[string]any) Needs {
	has := func(names ...string) bool {
		for _, name := range names {
			if _, there := table[name]; there {
				return true
			}
		}
		return false
	}
	concurrent := find(secGlobal, "concurrent").spellings()
	bare := !hasHeader(text)
	return Needs{
		StateFile:  bare && !has("state_file"),
		Concurrent: bare && !has(concurrent...),
		Quota:      !has(secQuota),
	}
}

// text writes the missing parts, as they are to stand above the section.
func (n Needs) text(g Global, section map[string]any) (string, error) {
	var out strings.Builder
	w := &writer{}
	if n.StateFile {
		fmt.Fprintf(&out, "# heptapod-paas-runner check FILE says what is wrong with this file.\n\nstate_file = %s\n", w.value(g.StateFile))
	}
	if n.Concurrent && g.Concurrent > 0 {
		fmt.Fprintf(&out, "concurrent = %d\n", g.Concurrent)
	}
	if n.Quota {
		reference := any(g.Quota.ReferenceRunner)
		if reference == "" {
			reference = section["name"]
		}
		fmt.Fprintf(&out, "\n# What may run (and cost) at once: as much as so many jobs of this flavor.\n[quota_computation]\n"+
			"  reference_runner = %s\n  reference_flavor = %s\n  reference_jobs_count = %d\n\n",
			w.value(reference), w.value(g.Quota.ReferenceFlavor), g.Quota.ReferenceJobs)
	}
	return strings.TrimPrefix(out.String(), "\n"), w.err
}

// Template reads a file with one [[runners]] section that is to be filled up, as
// gitlab-runner's --template-config is. Whatever else stands in it has no effect, and is
// listed.
func Template(path string) (section map[string]any, ignored []string, err error) {
	text, _, err := readAll(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the template: %w", err)
	}
	table := map[string]any{}
	if _, err := toml.Decode(text, &table); err != nil {
		return nil, nil, &Error{Problems: []Problem{syntax(path, err)}}
	}
	f := &file{path: path, at: scan(text), deps: outside()}
	if _, there := table[secRunner]; !there {
		f.problem("", "", "no [[runners]] section; a template has one")
		return nil, nil, &Error{Problems: f.problems}
	}
	found, ok := f.sections(f.reader(secGlobal, "", table))
	if ok && len(found) != 1 {
		f.problem(element(secRunner, 1), secRunner, "found %d sections, want one: a template is for one runner at a time", len(found))
	}
	for _, key := range []string{"token", "token_file"} {
		if ok && len(found) == 1 && found[0][key] != nil {
			f.problem(child(element(secRunner, 0), key), key, "a token belongs to one runner and has no place in a template")
		}
	}
	if len(f.problems) > 0 {
		return nil, nil, &Error{Problems: f.problems}
	}
	for _, name := range sortedKeys(table) {
		if name != secRunner {
			ignored = append(ignored, name)
		}
	}
	return found[0], ignored, nil
}
