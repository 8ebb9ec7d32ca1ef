// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

import (
	"errors"
	"syscall"
)

var errLinux = errors.New("this needs Linux")

func apart() (*syscall.SysProcAttr, error) { return nil, errLinux }

func (*Engine) inside(func() error) error { return errLinux }
