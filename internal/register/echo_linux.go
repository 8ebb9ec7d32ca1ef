// SPDX-License-Identifier: Apache-2.0

package register

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)
