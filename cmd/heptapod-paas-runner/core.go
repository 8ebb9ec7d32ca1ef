// SPDX-License-Identifier: Apache-2.0

package main

import "syscall"

// keepMemory sees that no secret in this process's memory gets to the disk when it
// crashes: no core file is written, of it and of what it starts. Where that can't be had
// (some containers) nothing is lost but that.
func keepMemory() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	undumpable()
}
