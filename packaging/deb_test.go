// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// build makes a package and gives its path.
func build(t *testing.T, version, folder string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "deb/build", version, runtime.GOARCH, folder)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1790000000", "LEVEL=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(folder, "heptapod-paas-runner_"+version+"_"+runtime.GOARCH+".deb")
}

func TestDebianPackage(t *testing.T) {
	if testing.Short() {
		t.Skip("needs root, systemd and dpkg")
	}
	t.Parallel()
	folder := t.TempDir()
	first, again := build(t, "1.0", t.TempDir()), build(t, "1.0", t.TempDir())
	if !bytes.Equal(read(t, first), read(t, again)) {
		t.Error("the same sources give two packages")
	}
	for name, from := range map[string]string{
		"old.deb": first, "new.deb": next(t, first),
		"paas-runner.toml": "testdata/paas-runner.toml", "seed.service": "testdata/seed.service",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), read(t, from), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "lintian", "--allow-root", "--fail-on", "error,warning", first).CombinedOutput(); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
	boot(t, folder, string(read(t, "testdata/install")))
}

// next makes the same package once more, with the version 2.0.
func next(t *testing.T, old string) string {
	t.Helper()
	folder := t.TempDir()
	const again = `dpkg-deb -R "$0" x && sed -i 's/^Version: .*/Version: 2.0/' x/DEBIAN/control && dpkg-deb --root-owner-group -Zxz -z0 -b x new.deb`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", again, old)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(folder, "new.deb")
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
