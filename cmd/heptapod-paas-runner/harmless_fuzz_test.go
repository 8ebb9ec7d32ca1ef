// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/api"
)

// FuzzTerminal: whatever stands in what is shown or logged, in every form, no terminal obeys it.
func FuzzTerminal(f *testing.F) {
	for _, text := range []string{
		"", "x", "\x1b[2J\x1b]0;title\a", "x\nFUSE BLOWN: y", "x\ttab\r", "\xff\xfe\x9b", "\u009b31m\u0085", "\u202e\u2028\ufeff\U000e0041", "section_start:1:x\r\x1b[0K", "\x7f",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for form, log := range map[string]func(*strings.Builder) *slog.Logger{
			"text":   func(b *strings.Builder) *slog.Logger { return (&cli{}).logger(b, "", "text") },
			"json":   func(b *strings.Builder) *slog.Logger { return (&cli{}).logger(b, "", "json") },
			"colour": func(b *strings.Builder) *slog.Logger { return slog.New(coloured(b, slog.LevelDebug)) },
			"journal": func(b *strings.Builder) *slog.Logger {
				return slog.New(slog.NewTextHandler(priorities{harmlessWriter{b}}, &slog.HandlerOptions{ReplaceAttr: timeless}))
			},
		} {
			var out strings.Builder
			log(&out).With("with", text).Info("job", "state", text, "err", errors.New(text), slog.Group("g", "in", text))
			shown := out.String()
			for _, code := range []string{"0", "2", "22", "92"} { // tint's own
				shown = strings.ReplaceAll(shown, "\x1b["+code+"m", "")
			}
			if strings.Count(shown, "\n") != 1 || obeyed(shown) != "" {
				t.Errorf("%s: %q", form, out.String())
			}
		}
		s := api.Status{Version: text, Fuse: "x" + text, Jobs: []api.Job{{Name: text, Project: text}}, Instances: []api.Instance{{LastError: text}}, Runners: []api.Runner{{Name: text, Problem: text}}}
		if shown := statusText(s); obeyed(shown) != "" {
			t.Errorf("status: %q", shown)
		}
		var out strings.Builder
		streams{err: &out}.say("%s", text)
		if obeyed(strings.ReplaceAll(out.String(), "\t", " ")) != "" {
			t.Errorf("said: %q", out.String())
		}
	})
}
