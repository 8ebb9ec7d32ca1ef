// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopWithin is what a child gets after SIGTERM, before it is killed. The service
// promises five seconds.
const stopWithin = 8 * time.Second

// child is a process that we started.
type child struct {
	name string
	log  string // where its output goes
	stop context.CancelFunc
	line chan string // the first line of its stdout
	done chan struct{}
	err  error // valid once done is closed
}

// start runs the program with these arguments, its output going to a file in dir.
// It ends when its stop is called, and on Linux also when we are killed: that signal
// belongs to the thread which started it, so the caller keeps its thread.
func start(ctx context.Context, dir, name, program string, args ...string) (*child, error) {
	path := filepath.Join(dir, name+".log")
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &child{name: name, log: path, stop: cancel, line: make(chan string, 1), done: make(chan struct{})}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout = &firstLine{to: file, line: c.line}
	cmd.Stderr = file
	cmd.Env = append(os.Environ(), "TMPDIR="+dir) // whatever is left behind goes with our folder
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin
	if err := cmd.Start(); err != nil {
		cancel()
		_ = file.Close() // nothing was written
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		c.err = cmd.Wait()
		if ctx.Err() != nil && cmd.ProcessState.ExitCode() == 0 {
			c.err = nil // it was asked to stop, and did
		}
		_ = file.Close() // the log has no reader that could be told
		close(c.done)
	}()
	return c, nil
}

// url waits for the line in which a simulator says where it listens.
func (c *child) url(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case line := <-c.line:
		url, ok := strings.CutPrefix(line, "listening on ")
		if !ok {
			return "", fmt.Errorf("%s says %q, not where it listens", c.name, line)
		}
		return url, nil
	case <-c.done:
		return "", fmt.Errorf("%s ended: %w", c.name, c.ended())
	case <-ctx.Done():
		return "", fmt.Errorf("%s does not say where it listens: %w", c.name, ctx.Err())
	}
}

// halt stops the process and waits for its end.
func (c *child) halt() error {
	c.stop()
	<-c.done
	return c.err
}

// ended is how a child that should still run has ended, nil while it runs.
func (c *child) ended() error {
	select {
	case <-c.done:
		if c.err == nil {
			return fmt.Errorf("%s ended by itself", c.name)
		}
		return fmt.Errorf("%s ended: %w", c.name, c.err)
	default:
		return nil
	}
}

// tail gives the last lines of the child's output.
func (c *child) tail(lines int) string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

// firstLine copies a stream and hands out its first line. Only the goroutine of
// exec.Cmd writes to it.
type firstLine struct {
	to   io.Writer
	line chan<- string
	head []byte
	said bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	if !f.said {
		f.head = append(f.head, p...)
		if line, _, ok := bytes.Cut(f.head, []byte("\n")); ok {
			f.line <- string(line)
			f.said, f.head = true, nil
		}
	}
	return f.to.Write(p)
}
