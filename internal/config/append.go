// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
)

// Addition is what registering a runner adds to a file.
type Addition struct {
	Global  Global         // written as far as the file lacks it
	Section map[string]any // the new [[runners]] section, as it is to stand in the file
}

// Composed is a file with an addition, checked as a whole.
type Composed struct {
	Text     string
	Line     int      // of the new section's header
	Warnings []string // about the new section, and about what this computer lacks
}

// Compose puts an addition behind what stands in the file: of that no byte changes. The
// error is an *Error with everything that would be wrong with the whole, but for what
// only this computer lacks.
func (d *Draft) Compose(a Addition) (*Composed, error) {
	global, err := d.needs.text(a.Global, a.Section)
	if err != nil {
		return nil, err
	}
	section, err := render(a.Section)
	if err != nil {
		return nil, err
	}
	out := &Composed{Text: appended(d.text, global+section)}
	lines := strings.Count(strings.TrimSuffix(d.text, "\n"), "\n") + 1
	if d.text == "" {
		lines = 0
	}
	f := &file{path: d.Path, deps: d.deps}
	cfg := f.parse(out.Text)
	var bad []Problem
	for _, p := range inOrder(f.problems) {
		switch {
		case p.here:
			out.Warnings = append(out.Warnings, p.String())
		default:
			bad = append(bad, p.from(lines))
		}
	}
	if len(bad) > 0 {
		return nil, &Error{Problems: bad}
	}
	for _, p := range inOrder(f.warnings) {
		if p.Line > lines {
			out.Warnings = append(out.Warnings, p.from(lines).String())
		}
	}
	out.Line = cfg.Runners[len(cfg.Runners)-1].Line
	return out, nil
}

// from names the new section as a problem's place when it stands behind the old lines.
func (p Problem) from(lines int) Problem {
	if p.Line > lines {
		p.Path, p.Line = "the new [[runners]] section", 0
	}
	return p
}

// appended puts text behind a file, with the line ends that the file has.
func appended(before, text string) string {
	end := "\n"
	if strings.Contains(before, "\r\n") {
		end = "\r\n"
		text = strings.ReplaceAll(text, "\n", end)
	}
	switch {
	case strings.Trim(before, "\ufeff") == "", strings.HasSuffix(before, end+end):
		return before + text
	case strings.HasSuffix(before, "\n"):
		return before + end + text
	}
	return before + end + end + text
}

// inline reports that `runners` is written as a list of tables, which TOML lets nobody
// add to from outside, or as something that can't be added to at all.
func (f *file) inline(text string, table map[string]any) {
	if _, there := table[secRunner]; !there {
		return
	}
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
	line := lines[min(f.at.at(secRunner), len(lines))-1]
	if !strings.HasPrefix(strings.TrimLeft(line, " \t"), "[") {
		f.problem(secRunner, secRunner, "written as a list (runners = [...]), to which no section can be added; write each table of it as a [[runners]] section first")
		return
	}
	f.sections(f.reader(secGlobal, "", table))
}

// trial finds out whether a file is good apart from what an addition brings along.
func (d *Draft) trial(table map[string]any) error {
	name := "register-trial"
	quota, _ := table[secQuota].(map[string]any)
	if reference, ok := quota["reference_runner"].(string); ok && table[secRunner] == nil {
		name = reference // the runner that is about to be registered
	}
	_, err := d.Compose(Addition{
		Global: Global{StateFile: "state.db", Concurrent: 1, Quota: Quota{ReferenceFlavor: DefaultFlavor, ReferenceJobs: 1}},
		Section: map[string]any{
			"name": name, "url": "https://register-trial.invalid", "token": "register-trial", "executor": ExecutorClever,
			"cc_orga_id": "register-trial", "cc_token": "register-trial", // its flavors are not in the file
		},
	})
	return err
}

// Runner tells whether the file has a section of this name, and in which line. The first
// one counts.
func (d *Draft) Runner(name string) (line int, ok bool) {
	i := slices.IndexFunc(d.runners, func(r Runner) bool { return r.Name == name })
	if i < 0 {
		return 0, false
	}
	return d.runners[i].Line, true
}
