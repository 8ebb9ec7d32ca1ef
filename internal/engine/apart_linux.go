// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// apart gives a process namespaces of its own, and lets it die with this one.
func apart() (*syscall.SysProcAttr, error) {
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}, nil
}

// inside calls a function on a thread that is in the engine's network namespace: a
// socket stays for ever in the one where it was made.
func (e *Engine) inside(f func() error) error {
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", e.cmd.Process.Pid))
	if err != nil {
		return fmt.Errorf("find the engine's network: %w", err)
	}
	defer theirs.Close()
	ours, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("find our own network: %w", err)
	}
	defer ours.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the engine's network: %w", err)
	}
	err = f()
	if back := unix.Setns(int(ours.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that no other goroutine gets it.
		return errors.Join(err, fmt.Errorf("come back from the engine's network: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
