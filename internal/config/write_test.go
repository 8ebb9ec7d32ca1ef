// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

// addTo does all that registering does to a file.
func addTo(path string, a Addition) error {
	d, err := ReadDraft(path)
	if err != nil {
		return err
	}
	return addToDraft(d, a)
}

func addToDraft(d *Draft, a Addition) error {
	got, err := d.Compose(a)
	if err != nil {
		return err
	}
	r, err := d.Reserve(got.Text)
	if err != nil {
		return err
	}
	defer r.Discard()
	return r.Commit(got.Text)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// alone checks that nothing is left beside the files that belong there.
func alone(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("%s holds %v, want %v", dir, names, want)
	}
}

func TestANewFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "paas.toml")
	if err := addTo(path, added()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if cfg, err := Load(path); err != nil || len(cfg.Warnings) > 0 {
		t.Errorf("%v, %+v", err, cfg)
	}
	alone(t, dir, "paas.toml")
}

func TestModeOwnerAndLinksStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real1, link := filepath.Join(dir, "real.toml"), filepath.Join(dir, "link.toml")
	write(t, real1, head+section, 0o640)
	if os.Getuid() == 0 {
		if err := os.Chown(real1, 4711, 4712); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("real.toml", link); err != nil {
		t.Fatal(err)
	}
	if err := addTo(link, added()); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != "real.toml" {
		t.Errorf("the link is %q, %v", to, err)
	}
	info, err := os.Lstat(real1)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if uid, gid, _ := ids(info); os.Getuid() == 0 && (uid != 4711 || gid != 4712) {
		t.Errorf("owner %d:%d", uid, gid)
	}
	if got := contents(t, real1); !strings.HasPrefix(got, head+section) || !strings.HasSuffix(got, addedSection) {
		t.Errorf("got %s", got)
	}
	alone(t, dir, "link.toml", "real.toml")
}

func TestALinkToNothingYet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "sub"), 0o700), os.Symlink("sub/new.toml", filepath.Join(dir, "link")), os.Symlink("loop", filepath.Join(dir, "loop"))); err != nil {
		t.Fatal(err)
	}
	if err := addTo(filepath.Join(dir, "link"), added()); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "sub", "new.toml")); err != nil {
		t.Error(err)
	}
	if _, err := ReadDraft(filepath.Join(dir, "loop")); err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
		t.Errorf("a loop: %v", err)
	}
}

func TestAHardLinkStaysOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write(t, one, head+section, 0o600)
	if err := os.Link(one, two); err != nil {
		t.Fatal(err)
	}
	if err := addTo(one, added()); err != nil {
		t.Fatal(err)
	}
	if contents(t, one) != contents(t, two) || !strings.HasSuffix(contents(t, two), addedSection) {
		t.Error("the names lead to different files now")
	}
	alone(t, dir, "one", "two")
}

// Where no file can be written is said before anything else happens.
func TestPlacesThatCanNotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "readonly"), head+section, 0o444)
	write(t, filepath.Join(dir, "file"), "", 0o600)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"":              "is a folder; name a file in it",
		"none/x.toml":   "does not exist: make " + filepath.Join(dir, "none") + " first",
		"file/x.toml":   "not a directory",
		"readonly":      "is read-only (mode 0444)",
		"pipe":          "is not a regular file",
		"readonly/more": "not a directory",
	} {
		_, err := ReadDraft(filepath.Join(dir, name))
		if err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "is no folder") {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if os.Getuid() == 0 {
		return // what follows is about permissions, which root does not need
	}
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDraft(filepath.Join(locked, "x")); err == nil || !strings.Contains(err.Error(), "can't be written by user") {
		t.Errorf("a folder without permission: %v", err)
	}
}

func TestWhatOthersDidMeanwhileStays(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", head + section} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if before != "" {
			write(t, path, before, 0o600)
		}
		d, err := ReadDraft(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, "# theirs\n", 0o600)
		if err := addToDraft(d, added()); err == nil || !strings.Contains(err.Error(), "by somebody else meanwhile; nothing is written") {
			t.Errorf("got %v", err)
		}
		if got := contents(t, path); got != "# theirs\n" {
			t.Errorf("got %q", got)
		}
		alone(t, dir, "f")
	}
}

func TestWhatAKilledRegistrationLeftIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".f.register"), "half", 0o600)
	if err := addTo(filepath.Join(dir, "f"), added()); err != nil {
		t.Fatal(err)
	}
	alone(t, dir, "f")
}

// A file that can't be replaced, since it is mounted by itself, is appended to; and a
// failure there takes everything back.
func TestInPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, head+section, 0o600)
	d, err := ReadDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Compose(added())
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Replacement{draft: d}).inPlace(got.Text); err != nil || contents(t, path) != got.Text {
		t.Errorf("%v: %s", err, contents(t, path))
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := (&Replacement{draft: d}).inPlace(got.Text); os.Getuid() != 0 && err == nil {
		t.Error("wrote to a read-only file")
	}
}

// Many at once: each section arrives, none twice.
func TestConcurrentAdditions(t *testing.T) {
	t.Parallel()
	const many = 8
	path := filepath.Join(t.TempDir(), "f")
	var work sync.WaitGroup
	failed := make(chan error, many)
	for i := range many {
		work.Go(func() {
			failed <- func() error {
				d, err := ReadDraft(path)
				if err != nil {
					return err
				}
				release, err := d.Lock(t.Context())
				if err != nil {
					return err
				}
				defer release()
				if d, err = ReadDraft(path); err != nil {
					return err
				}
				a := added()
				a.Section["name"], a.Section["token"] = fmt.Sprintf("n%d", i), fmt.Sprintf("glrt-%d", i)
				return addToDraft(d, a)
			}()
		})
	}
	work.Wait()
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	cfg, err := Load(path)
	if err != nil || len(cfg.Runners) != many {
		t.Fatalf("%v, %d runners", err, len(cfg.Runners))
	}
	alone(t, filepath.Dir(path), "f")
}

func TestALockIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	synctest.Test(t, func(t *testing.T) {
		d, err := ReadDraft(path)
		if err != nil {
			t.Fatal(err)
		}
		release, err := d.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Lock(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for another registration in") {
			t.Errorf("got %v", err)
		}
		stopped, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Lock(stopped); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		release()
		if release, err = d.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		release()
	})
}
