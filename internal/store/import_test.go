// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/fleet"
)

const oldState = `{"launched": [], "pending": []}`

// importing is an importer that makes one job of whatever it is given.
func importing(old []byte, backup string) (Change, error) {
	if bytes.Contains(old, []byte("broken")) {
		return Change{}, errors.New("this can't be read")
	}
	job, instance := wholeJob(7), fleet.Instance{Key: "key-7", State: fleet.InstanceStarted}
	return Change{Name: "import", Jobs: []fleet.Job{job}, Instances: []fleet.Instance{instance}, Meta: map[string]string{"from": string(old), "backup": filepath.Base(backup)}}, nil
}

// putOld writes the old state file and gives its path.
func putOld(t *testing.T, folder, text string) string {
	t.Helper()
	path := filepath.Join(folder, "state.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	stopped := time.Date(2026, 11, 20, 9, 8, 7, 0, time.UTC)
	if err := os.Chtimes(path, stopped, stopped); err != nil {
		t.Fatal(err)
	}
	return path
}

func listFolder(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			out = append(out, e.Name())
		}
	}
	return out
}

// imported checks what a good import leaves behind.
func imported(t *testing.T, path string) {
	t.Helper()
	s := mustOpen(t, Config{Path: path, Import: func([]byte, string) (Change, error) {
		t.Error("imported a second time")
		return Change{}, errors.New("no")
	}})
	snap, err := s.Load(t.Context())
	if err != nil || len(snap.Jobs) != 1 || len(snap.Instances) != 1 || snap.NextSeq != 8 {
		t.Errorf("the ledger holds %+v, %v", snap, err)
	}
	if want := map[string]string{"from": oldState, "backup": "state.json.python-20261120T090807Z"}; !cmp.Equal(snap.Meta, want) {
		t.Errorf("meta %v, want %v", snap.Meta, want)
	}
	mustClose(t, s)
	if diff := cmp.Diff([]string{"state.json", "state.json.python-20261120T090807Z"}, listFolder(t, filepath.Dir(path))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	backup := path + ".python-20261120T090807Z"
	info, err := os.Stat(backup)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy: %v, %v", info, err)
	}
	if text, _ := os.ReadFile(backup); string(text) != oldState {
		t.Errorf("the copy holds %q", text)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	path := putOld(t, t.TempDir(), oldState)
	mustClose(t, mustOpen(t, Config{Path: path, Import: importing}))
	imported(t, path)
}

// An import that fails has changed nothing at all.
func TestFailedImportChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text   string
		beside string
		is     error
		words  []string
	}{
		"broken":           {`{"broken`, "", ErrNotLedger, []string{"this can't be read", "nothing was changed"}},
		"a log beside it":  {oldState, "-wal", nil, []string{"state.json-wal", "move it away"}},
		"no importer":      {`{"none": 1}`, "", ErrNotLedger, []string{"Python program"}},
		"a hundred copies": {oldState, ".python-20261120T090807Z", nil, []string{"a hundred copies"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := putOld(t, folder, c.text)
			if c.beside != "" {
				writeFile(t, path+c.beside, "another")
				for i := 2; i <= 100 && strings.HasPrefix(c.beside, ".python"); i++ {
					writeFile(t, path+c.beside+"-"+strconv.Itoa(i), "another")
				}
			}
			before := listFolder(t, folder)
			cfg := Config{Path: path, Import: importing}
			if name == "no importer" {
				cfg.Import = nil
			}
			wantOpenError(t, cfg, c.is, c.words...)
			if diff := cmp.Diff(before, listFolder(t, folder)); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
			if text, err := os.ReadFile(path); string(text) != c.text {
				t.Errorf("the state file holds %q, %v", text, err)
			}
		})
	}
}

// A copy of another state with the same date is left alone.
func TestImportKeepsOtherCopies(t *testing.T) {
	t.Parallel()
	path := putOld(t, t.TempDir(), oldState)
	writeFile(t, path+".python-20261120T090807Z", "another")
	mustClose(t, mustOpen(t, Config{Path: path, Import: importing}))
	for name, want := range map[string]string{".python-20261120T090807Z": "another", ".python-20261120T090807Z-2": oldState} {
		if text, err := os.ReadFile(path + name); string(text) != want {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
}

const importChildEnv = "LEDGER_TEST_IMPORT"

// killedAt is a hook that kills its own process, which no clean-up survives.
type killedAt string

func (k killedAt) Point(name string) error {
	if name == string(k) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return nil
}

// importAndDie is the child: it imports or migrates, and is killed at one point.
func importAndDie(pathAndPoint string) {
	path, point, _ := strings.Cut(pathAndPoint, "|")
	s, err := Open(context.Background(), Config{Path: path, Import: importing, Hook: killedAt(point)})
	if err != nil {
		os.Exit(3)
	}
	_ = s.Close()
}

// The process is killed at every point of an import; the next start comes to the same
// result, from whatever was left.
func TestKilledImports(t *testing.T) {
	t.Parallel()
	probe := &hookAt{}
	mustClose(t, mustOpen(t, Config{Path: putOld(t, t.TempDir(), oldState), Import: importing, Hook: probe}))
	if len(probe.seen) < 8 {
		t.Fatalf("only %d points: %q", len(probe.seen), probe.seen)
	}
	for _, point := range probe.seen {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			path := putOld(t, t.TempDir(), oldState)
			for try := range 2 { // twice at the same point, then a whole start
				child := exec.CommandContext(t.Context(), os.Args[0])
				child.Env = append(os.Environ(), importChildEnv+"="+path+"|"+point)
				err := child.Run()
				exit, _ := errors.AsType[*exec.ExitError](err)
				if status, ok := sysOf(exit); try == 0 && (!ok || status.Signal() != syscall.SIGKILL) {
					t.Fatalf("the child was not killed, but ended: %v", err)
				}
			}
			s, err := Open(t.Context(), Config{Path: path, Import: importing})
			if err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			imported(t, path)
		})
	}
}

func sysOf(exit *exec.ExitError) (syscall.WaitStatus, bool) {
	if exit == nil {
		return 0, false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return status, ok
}

// A disk that is full, or an error at any point, leaves the old state and no rubbish.
func TestImportThatCantBeWritten(t *testing.T) {
	t.Parallel()
	probe := &hookAt{}
	mustClose(t, mustOpen(t, Config{Path: putOld(t, t.TempDir(), oldState), Import: importing, Hook: probe}))
	for _, point := range probe.seen {
		if point == "import/replaced" {
			continue // the ledger stands already
		}
		path := putOld(t, t.TempDir(), oldState)
		if _, err := Open(t.Context(), Config{Path: path, Import: importing, Hook: &hookAt{at: point}}); !errors.Is(err, errPower) {
			t.Errorf("%s: %v", point, err)
		}
		if text, err := os.ReadFile(path); string(text) != oldState {
			t.Errorf("%s: the state file holds %q, %v", point, text, err)
		}
		if _, err := os.Stat(path + ".importing-wal"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a log is left: %v", point, err)
		}
		mustClose(t, mustOpen(t, Config{Path: path, Import: importing}))
		imported(t, path)
	}
}
