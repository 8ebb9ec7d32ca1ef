// SPDX-License-Identifier: Apache-2.0

package main

import "golang.org/x/sys/unix"

// undumpable keeps the memory and the environment from other processes of the same user,
// and from programs that the kernel hands cores to.
func undumpable() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
