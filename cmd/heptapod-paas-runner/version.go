// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd is `version`.
type versionCmd struct{}

// Help is the text below the flags.
func (*versionCmd) Help() string {
	return `Prints one line: the name, the version, and what it was built with and for.

Examples:

    heptapod-paas-runner version`
}

// Run prints one line.
func (*versionCmd) Run(std streams) error {
	_, err := fmt.Fprintf(std.out, "heptapod-paas-runner %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version is what the build recorded about itself: a release tag, a commit, or
// "(devel)" when it was built outside of a repository.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}
