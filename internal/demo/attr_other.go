// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package demo

import "syscall"

// attributes puts a child into a process group of its own, so that Ctrl-C reaches
// only us and we stop the children in order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
