// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"io"
)

// Launcher runs what would run on a machine of the platform.
type Launcher interface {
	// Launch runs the task's entry point until it ends. A cancelled context
	// means that the machine is destroyed: everything that it started is killed
	// and nothing more is sent. An error means that the entry point could not be
	// started or ended with a failure.
	Launch(ctx context.Context, task Task) error
}

// Task is one container: its entry point and what it finds on its disk.
type Task struct {
	Name       string            // of the application
	Argv       []string          // the entry point with its arguments
	Files      map[string][]byte // absolute path on the machine -> content; never modified
	Executable map[string]bool   // those of Files that may be executed
	Env        map[string]string
	Log        io.Writer // takes stdout and stderr; safe for concurrent use
}
