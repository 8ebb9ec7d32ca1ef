// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// No secret in memory gets to the disk by a crash. What this process may do is not changed:
// another one of it is looked at.
func TestMemoryIsKept(t *testing.T) {
	t.Parallel()
	if os.Getenv("TEST_KEEP_MEMORY") == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryIsKept$")
		again.Env = append(os.Environ(), "TEST_KEEP_MEMORY=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	keepMemory()
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, _ := strings.Cut(string(limits), "Max core file size"); strings.Join(strings.Fields(rest)[:2], " ") != "0 0" {
		t.Errorf("a core file may be written: %s", limits)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); dumpable != 0 || err != nil {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
}
