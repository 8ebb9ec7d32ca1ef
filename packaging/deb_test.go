// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"bytes"
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// build makes a package and gives its path.
func build(t *testing.T, version, arch, folder string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the first time compiles SQLite
	defer cancel()
	cmd := exec.CommandContext(ctx, "deb/build", version, arch, folder)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1790000000", "LEVEL=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(folder, "heptapod-paas-runner_"+version+"_"+arch+".deb")
}

func TestDebianPackage(t *testing.T) {
	if testing.Short() {
		t.Skip("needs root, systemd and dpkg")
	}
	t.Parallel()
	folder := t.TempDir()
	first, again := build(t, "1.0", runtime.GOARCH, t.TempDir()), build(t, "1.0", runtime.GOARCH, t.TempDir())
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
	lint(t, first)
	boot(t, folder, string(read(t, "testdata/install")))
}

func lint(t *testing.T, deb string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "lintian", "--allow-root", "--fail-on", "error,warning", deb).CombinedOutput(); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// A package for the other kind of machine has that machine's programs, and both relays.
func TestDebianPackageForAnotherMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("needs dpkg and lintian, and compiles for long")
	}
	t.Parallel()
	arch, machines := "arm64", map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if runtime.GOARCH == arch {
		arch = "amd64"
	}
	deb, root := build(t, "1.0", arch, t.TempDir()), t.TempDir()
	lint(t, deb)
	for _, argv := range [][]string{{"-f", deb, "Architecture"}, {"-x", deb, root}} {
		out, err := exec.CommandContext(t.Context(), "dpkg-deb", argv...).CombinedOutput()
		if err != nil || argv[0] == "-f" && string(out) != arch+"\n" {
			t.Fatalf("dpkg-deb %v: %v\n%s", argv, err, out)
		}
	}
	for path, want := range map[string]string{
		"usr/bin/heptapod-paas-runner": arch, "usr/bin/heptapod-paas-runner-register": arch,
		"usr/lib/heptapod-paas-runner/linux-amd64/paas-relay": "amd64", "usr/lib/heptapod-paas-runner/linux-arm64/paas-relay": "arm64",
	} {
		program, err := elf.Open(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if program.Machine != machines[want] {
			t.Errorf("%s is for %s, want %s", path, program.Machine, want)
		}
		_ = program.Close()
	}
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
