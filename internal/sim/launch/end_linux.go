// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	sweeps     = 200
	sweepPause = 5 * time.Millisecond
)

// attributes put the entry point into a process group of its own; it dies with us.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killMarked kills every process that has the pair in its environment, again and
// again until there is none: a process may have started another one meanwhile.
func killMarked(pair string) {
	pause := time.NewTicker(sweepPause)
	defer pause.Stop()
	for range sweeps {
		pids := marked(pair)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
		<-pause.C
	}
}

// marked lists the processes that have the pair in their environment.
func marked(pair string) []int {
	// A pattern without a syntax error cannot fail.
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(file)
		if err == nil && bytes.Contains(append([]byte{0}, append(env, 0)...), []byte("\x00"+pair+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}
