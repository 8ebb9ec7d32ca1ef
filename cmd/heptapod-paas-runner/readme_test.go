// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/config"
)

// The first configuration of the README is what people paste: it must be good, and
// without a warning.
func TestReadmeConfigurationIsGood(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```toml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no configuration")
	}
	dir := t.TempDir()
	for _, name := range []string{"runner-token", "clever-token"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("glrt-D3adNQYu8OCjkYDbwDaG\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text = strings.ReplaceAll(text, "/etc/heptapod-paas-runner", dir)
	path := filepath.Join(dir, "paas-runner.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %q", cfg.Warnings)
	}
	if cfg.Runners[0].Token.Reveal() != "glrt-D3adNQYu8OCjkYDbwDaG" || cfg.ListenAddress == "" {
		t.Errorf("read as %+v", cfg)
	}
}
