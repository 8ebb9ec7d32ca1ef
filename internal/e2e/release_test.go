// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const releases = "testdata/releases"

// keptReleases are the earlier releases that CI keeps, by name; CONTRIBUTING.md tells how
// one is added.
func keptReleases(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(releases, "*", "sources.tar.gz"))
	if err != nil || len(found) < 2 {
		t.Fatalf("kept releases: %v, %v", found, err)
	}
	for i, path := range found {
		found[i] = filepath.Base(filepath.Dir(path))
	}
	return found
}

// buildRelease makes the program and the relay of an earlier release from its sources. The
// modules are today's, so that nothing else has to be fetched and compiled.
func buildRelease(t *testing.T, name, folder string) (program string) {
	t.Helper()
	unpack(t, filepath.Join(releases, name, "sources.tar.gz"), filepath.Join(folder, "sources"))
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "sources", file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, flags := range map[string][]string{"heptapod-paas-runner": nil, "paas-relay": {"-ldflags", "-s -w"}} {
		build := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-trimpath", "-o", filepath.Join(folder, name)}, flags...), "./cmd/"+name)...)
		build.Dir = filepath.Join(folder, "sources")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return filepath.Join(folder, "heptapod-paas-runner")
}

// unpack writes the regular files of an archive below a folder.
func unpack(t *testing.T, archive, folder string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for entries := tar.NewReader(plain); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil && entry.Typeflag == tar.TypeReg {
			err = unpackFile(entries, folder, entry.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackFile(from io.Reader, folder, name string) error {
	if !filepath.IsLocal(name) || !strings.Contains(name, "/") {
		return nil // go.mod of then
	}
	to := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	data, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}
