// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"heptapod-paas-runner/internal/sim/clever"
)

// disk is the folder of one machine. Absolute paths of the machine are mapped to
// paths below root.
type disk struct{ dir string }

func (d disk) root() string { return filepath.Join(d.dir, "root") }
func (d disk) bin() string  { return filepath.Join(d.dir, "bin") }
func (d disk) home() string { return filepath.Join(d.dir, "home") }
func (d disk) temp() string { return filepath.Join(d.dir, "tmp") }
func (d disk) work() string { return filepath.Join(d.dir, "work") }

// mapped is where a path of the machine really is.
func (d disk) mapped(name string) string {
	return filepath.Join(d.root(), filepath.FromSlash(path.Clean("/"+name)))
}

// write makes the folders and writes the task's files.
func (d disk) write(task clever.Task) error {
	for _, dir := range []string{d.root(), d.bin(), d.home(), d.temp(), d.work()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for name, data := range task.Files {
		mode := fs.FileMode(0o600)
		if task.Executable[name] {
			mode = 0o700
		}
		if path.Base(name) == "runner.toml" {
			data = d.runnerConfig(data, task)
		}
		if err := os.MkdirAll(filepath.Dir(d.mapped(name)), 0o700); err != nil {
			return err
		}
		if err := writeFile(d.mapped(name), data, mode); err != nil {
			return err
		}
	}
	return nil
}

// dockerExecutor is the line that names an executor this computer does not have.
var dockerExecutor = regexp.MustCompile(`(?m)^(\s*executor\s*=\s*)["']docker["']`)

// runnerConfig makes the sub-runner's configuration fit for this computer: no
// Docker, and files of the machine where they really are.
func (d disk) runnerConfig(data []byte, task clever.Task) []byte {
	data = dockerExecutor.ReplaceAll(data, []byte(`${1}"shell"`))
	for name := range task.Files {
		data = bytes.ReplaceAll(data, []byte(`"`+name+`"`), []byte(`"`+d.mapped(name)+`"`))
	}
	return data
}

// argv maps what an entry point names: the task's files, and gitlab-runner
// wherever the image has it.
func (d disk) argv(task clever.Task) []string {
	argv := make([]string, len(task.Argv))
	for i, arg := range task.Argv {
		argv[i] = arg
		if _, ok := task.Files[arg]; ok {
			argv[i] = d.mapped(arg)
		}
	}
	if _, pushed := task.Files[task.Argv[0]]; !pushed && path.Base(task.Argv[0]) == subRunner {
		argv[0] = filepath.Join(d.bin(), subRunner)
	}
	return argv
}

// shim puts a `gitlab-runner` into the machine's PATH: the stock one, or a script
// that calls the reference sub-runner.
func (d disk) shim(stock, self string) error {
	at := filepath.Join(d.bin(), subRunner)
	if stock != "" {
		return os.Symlink(stock, at)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s sim sub-runner \"$@\"\n", quote(self))
	return writeFile(at, []byte(script), 0o700)
}

// writeFile writes a file that may be executed next. No process is forked meanwhile: it
// would inherit the open file for a moment, in which executing it is "text file busy".
func writeFile(name string, data []byte, mode fs.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, data, mode)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }

// removeAll removes a folder even where a job took away its own permissions.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(name, 0o700)
		}
		return err
	})
	return errors.Join(os.RemoveAll(dir), err)
}
