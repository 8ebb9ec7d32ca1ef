// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlainProgressHasOneLinePerChange(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &screen{out: &out, begun: time.Now(), stages: map[int64]string{}}
	job := good()
	for range 3 {
		s.show([]sight{job})
	}
	job.app.DeletedAt = nil
	s.show([]sight{job})
	got := strings.Count(out.String(), "\n")
	if got != 2 {
		t.Errorf("%d lines, want 2:\n%s", got, out.String())
	}
	if !strings.Contains(out.String(), "failed (exit 3)") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("plain progress:\n%q", out.String())
	}
}

func TestTerminalIsDrawnOverItself(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &screen{out: &out, terminal: true, width: 40, begun: time.Now()}
	job := good()
	job.job.Trace += strings.Repeat("long ", 50) + "\x1b[2J"
	s.show([]sight{job, job})
	first := out.String()
	if strings.Contains(first, "\x1b") {
		t.Errorf("a job's output reaches the terminal unfiltered: %q", first)
	}
	for line := range strings.Lines(first) {
		if n := len([]rune(line)); n > 40 {
			t.Errorf("a line of %d characters on a terminal of 40: %q", n, line)
		}
	}
	out.Reset()
	s.show([]sight{job, job})
	if !strings.HasPrefix(out.String(), "\x1b[3A\x1b[J") {
		t.Errorf("the second drawing does not cover the first: %q", out.String())
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	(&screen{out: &out}).table([]sight{good()})
	want := strings.Join([]string{
		"   job  flavor  waited  launched  ran    removed  result           instance seconds",
		"✓  1 x  S       1.0 s   1.0 s     1.0 s  1.0 s    failed (exit 3)  0.0",
		"                                                                   0.0",
	}, "\n")
	if diff := cmp.Diff(want, strings.Trim(out.String(), "\n")); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestUncoloured(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                     "plain",
		"\x1b[31;1mred\x1b[0;m end": "red end",
		"broken \x1b[31":            "broken 31",
		"\x1b[":                     "",
	} {
		if got := uncoloured(in); got != want {
			t.Errorf("uncoloured(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWriteJSONLeavesNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "demo.json")
	for _, id := range []int{1, 2} {
		if err := writeJSON(path, map[string]int{"id": id}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]int
	if err := json.Unmarshal(text, &got); err != nil || got["id"] != 2 {
		t.Errorf("read %s: %v, %v", text, got, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := writeJSON(filepath.Join(dir, "missing", "x.json"), 1); err == nil {
		t.Error("writing into a folder that does not exist is no error")
	}
}
