// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLoad: any text is refused with its reasons, or gives a configuration that can be
// worked with. It never panics.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Add(head + section)
	f.Add("a.b.'c d'.\"e\\\"f\" = [ [1], { x = \"]\" } ]\n[[runners]]\n[[runners.x]]\n[runners.x.y]\n")
	f.Add("runners = [ {}, { name = 1, job_trace_watch = { token = \"${A}\" } } ]\n[quota_computation]\nx=1e300\n")
	d := world(map[string]string{"A": "x"}, map[string]string{"/a": "y"})
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := parse("f", text, 0o644, d)
		if err != nil {
			bad, ok := errors.AsType[*Error](err)
			if !ok || len(bad.Problems) == 0 {
				t.Fatalf("no reason: %v", err)
			}
			for _, p := range bad.Problems {
				if p.Line < 1 || p.Line > strings.Count(text, "\n")+1 || p.Text == "" {
					t.Errorf("%+v", p)
				}
			}
			return
		}
		if cfg.Concurrent < 1 || cfg.StateFile == "" || len(cfg.Runners) == 0 || cfg.Quota.ReferenceJobs < 1 || cfg.CheckInterval <= 0 {
			t.Errorf("accepted, but not usable: %+v", cfg)
		}
		for _, rc := range cfg.Runners {
			if rc.Name == "" || rc.Owner == "" || rc.Token.Empty() || rc.Coordinator == "" || rc.TraceWatch.PollStep <= 0 || !utf8.ValidString(rc.Name) {
				t.Errorf("accepted, but not usable: %+v", rc)
			}
			for key := range rc.Forward {
				if ours(key) && !travels(key) {
					t.Errorf("%s is forwarded", key)
				}
			}
		}
	})
}
