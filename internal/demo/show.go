// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// screen shows the progress: on a terminal one line per job, drawn again and again;
// elsewhere one line per change.
type screen struct {
	out      io.Writer
	terminal bool
	width    int
	begun    time.Time
	drawn    int // lines of the last drawing
	stages   map[int64]string
}

// say prints one line, above the drawing when there is one.
func (s *screen) say(format string, args ...any) {
	s.wipe()
	s.print(fmt.Sprintf(format, args...) + "\n")
}

// print writes; a reader who went away is no reason to leave processes behind.
func (s *screen) print(text string) { _, _ = io.WriteString(s.out, text) }

// show shows where the jobs are now.
func (s *screen) show(jobs []sight) {
	if !s.terminal {
		s.showChanges(jobs)
		return
	}
	s.wipe()
	var b strings.Builder
	done := 0
	for _, j := range jobs {
		if j.stage() == stageDone {
			done++
		}
		b.WriteString(cut(fmt.Sprintf("  %s %-13s %-4s %-10s %s", mark(j), j.order.name, j.flavor(), j.stage(), j.lastLine()), s.width) + "\n")
	}
	fmt.Fprintf(&b, "  %4.1f s, %d of %d jobs done\n", time.Since(s.begun).Seconds(), done, len(jobs))
	s.print(b.String())
	s.drawn = len(jobs) + 1
}

func (s *screen) showChanges(jobs []sight) {
	for _, j := range jobs {
		stage := j.stage()
		if stage == stageDone || stage == stageRemoving {
			stage += ": " + j.result()
		}
		if s.stages[j.job.ID] == stage || stage == stageQueued {
			continue
		}
		s.stages[j.job.ID] = stage
		s.print(fmt.Sprintf("%5.1f s  %d %-13s %s\n", time.Since(s.begun).Seconds(), j.job.ID, j.order.name, stage))
	}
}

// wipe removes the last drawing.
func (s *screen) wipe() {
	if s.drawn > 0 {
		s.print(fmt.Sprintf("\x1b[%dA\x1b[J", s.drawn))
		s.drawn = 0
	}
}

func mark(j sight) string {
	switch {
	case j.stage() != stageDone:
		return "·"
	case len(j.wrong()) > 0:
		return "✗"
	}
	return "✓"
}

// cut shortens a line to a width in characters and drops what would move the cursor.
func cut(line string, width int) string {
	r := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, line))
	if width > 1 && len(r) >= width {
		return string(r[:width-2]) + "…"
	}
	return string(r)
}

// table prints what became of the jobs.
func (s *screen) table(jobs []sight) {
	s.wipe()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("", "job", "flavor", "waited", "launched", "ran", "removed", "result", "instance seconds")
	total := 0.0
	for _, j := range jobs {
		launched, ended := j.app.CreatedAt, j.job.FirstOutputAt
		if ended == nil {
			ended = j.job.FinishedAt
		}
		seconds := "-"
		if j.app.ID != "" {
			seconds = fmt.Sprintf("%.1f", j.app.VMSeconds)
			total += j.app.VMSeconds
		}
		waited := between(j.job.AcquiredAt, launched)
		line(mark(j), fmt.Sprintf("%d %s", j.job.ID, j.order.name), j.flavor(), waited, between(launched, ended),
			between(j.job.FirstOutputAt, j.job.FinishedAt), between(j.job.FinishedAt, j.app.DeletedAt), j.result(), seconds)
	}
	line("", "", "", "", "", "", "", "", fmt.Sprintf("%.1f", total))
	_ = w.Flush() // into memory
	s.print("\n" + b.String() + "\n")
}
