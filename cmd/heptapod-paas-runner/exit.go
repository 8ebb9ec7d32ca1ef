// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/store"
)

// The exit codes of every command; --help lists them.
const (
	codeDone        = 0
	codeFailed      = 1
	codeUsage       = 2
	codeInvalid     = 3
	codeUnreachable = 4
	codeHeld        = 5
	codeInterrupted = 130
)

// exitError gives an error the exit code that it stands for.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// codeOf gives the exit code of an error.
func codeOf(err error) int {
	if err == nil {
		return codeDone
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return codeInvalid
	}
	switch {
	case errors.Is(err, store.ErrHeld):
		return codeHeld
	case errors.Is(err, store.ErrNewer), errors.Is(err, store.ErrForeignFS), errors.Is(err, store.ErrNotLedger):
		return codeInvalid
	}
	return codeFailed
}
