// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Command is what the sub-runner is started with.
type Command struct {
	Args   []string
	Env    []string
	Dir    string
	Stderr io.Writer // gets what the sub-runner says
}

// Process is a started sub-runner.
type Process interface {
	Signal(os.Signal) error
	// Wait returns when it has ended; the error says how, if it was not well.
	Wait() error
}

// startProcess runs the command as a process of this computer. It outlives ctx:
// how it is stopped is decided by who waits for it.
func startProcess(_ context.Context, c Command) (Process, error) {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdout, cmd.Stderr = os.Stdout, io.MultiWriter(os.Stderr, c.Stderr)
	cmd.WaitDelay = 5 * time.Second // something it left behind may hold its stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return osProcess{cmd}, nil
}

type osProcess struct{ cmd *exec.Cmd }

func (p osProcess) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }
func (p osProcess) Wait() error              { return p.cmd.Wait() }

const (
	tailBytes = 4 << 10
	tailLines = 12
)

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// lines gives the last lines, as valid UTF-8 and without what is hidden.
func (t *tail) lines(hidden []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := redact(strings.ToValidUTF8(string(t.text), "�"), hidden)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-tailLines):]
}
