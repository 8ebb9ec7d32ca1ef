// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"heptapod-paas-runner/internal/sim/launch"
)

// Destroying the machine ends what the entry point started, also what has left
// its process group and its parent.
func TestDestroyedMachineLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"while it runs":  `echo $$ >> pids; setsid sh -c 'trap "" TERM; echo $$ > "$1"; sleep 1000' x "%s" & sleep 1000`,
		"after its end ": `setsid sh -c 'trap "" TERM; echo $$ > "$1"; sleep 1000' x "%s" >/dev/null 2>&1 & while ! test -s "%s"; do sleep 0.01; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, dir := newProcess(t, launch.Config{})
			file := filepath.Join(t.TempDir(), "pid")
			ctx, destroy := context.WithCancel(t.Context())
			defer destroy()
			var log output
			ended := make(chan error)
			go func() { ended <- p.Launch(ctx, shell(strings.ReplaceAll(script, "%s", file), &log)) }()
			pid := 0
			until(t, func() bool {
				raw, _ := os.ReadFile(file)
				pid, _ = strconv.Atoi(strings.TrimSpace(string(raw)))
				return pid > 0
			})
			running := strings.HasPrefix(name, "while")
			if running {
				destroy()
			}
			if err := <-ended; running != errors.Is(err, context.Canceled) {
				t.Errorf("Launch: %v", err)
			}
			until(t, func() bool { return gone(pid) })
			empty(t, dir)
		})
	}
}

// gone tells whether a process has ended; a zombie has.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(raw), ") Z ")
}
