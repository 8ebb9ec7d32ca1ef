// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine is this computer once more: its files under an overlay, in namespaces of its
// own, with a systemd as its first process. What happens there stays there.
//
//go:embed testdata/machine
var machine string

// boot runs a script on such a machine, as root, with a folder of ours at /test, and
// gives what it wrote. The machine is gone afterwards.
func boot(t *testing.T, folder, script string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "script"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	group := cgroup(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // half of one, unless others want the cores
	defer cancel()
	// The shell puts itself into the group first, so that this is the root of what the
	// machine sees.
	enter := "echo $$ >" + group + "/cgroup.procs; exec unshare --kill-child -m -p -f -n -u -i -C sh -c " + quote(machine) + " machine " + quote(folder)
	cmd := exec.CommandContext(ctx, "sh", "-c", enter)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	err := cmd.Run()
	text, failed := os.ReadFile(filepath.Join(folder, "output"))
	if failed != nil || !strings.Contains(string(text), "\nended well\n") {
		log, _ := os.ReadFile(filepath.Join(folder, "console"))
		t.Fatalf("the machine ended with %v, %v; the script wrote\n%s\nand the console shows\n%s%s", err, failed, text, console.String(), log)
	}
	return string(text)
}

// cgroup makes the control group that the machine's systemd lives in.
func cgroup(t *testing.T) string {
	t.Helper()
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "systemd")); err == nil { // version 1
		root = filepath.Join(root, "systemd")
	}
	group := filepath.Join(root, "heptapod-paas-runner-test-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var all []string
		_ = filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append([]string{path}, all...)
			}
			return nil
		})
		for _, path := range all { // the deepest first
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Logf("left behind: %v", err)
			}
		}
	})
	return group
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
