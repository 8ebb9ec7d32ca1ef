// SPDX-License-Identifier: Apache-2.0

package register

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// withoutEcho keeps a terminal from showing what is typed, until restore is called. The
// terminal still edits lines and obeys Ctrl-C. term.ReadPassword would turn the echo off
// only once it reads, behind the question, and takes no Ctrl-D for an end.
func withoutEcho(terminal *os.File) (restore func(), err error) {
	fd := int(terminal.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, fmt.Errorf("ask without echo: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, setTermios, &silent); err != nil {
		return nil, fmt.Errorf("ask without echo: %w", err)
	}
	return func() { _ = unix.IoctlSetTermios(fd, setTermios, before) }, nil
}
