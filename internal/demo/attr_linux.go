// SPDX-License-Identifier: Apache-2.0

package demo

import "syscall"

// attributes puts a child into a process group of its own, so that Ctrl-C reaches
// only us and we stop the children in order; the kernel stops them when we are killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
