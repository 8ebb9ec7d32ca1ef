// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"os"

	"heptapod-paas-runner/internal/register"
)

// registerCmd is `register CONFIG`.
type registerCmd struct {
	register.Options `embed:""`
}

// Run registers one runner.
func (c *registerCmd) Run(ctx context.Context, line *cli, std streams) error {
	err := register.New(register.Deps{
		Console: register.NewConsole(os.Stdin, std.err), Out: std.out, Env: os.LookupEnv, Random: rand.Reader,
		Log: line.logger(std.err, "", ""),
	}, register.Config{Options: c.Options, Program: "heptapod-paas-runner register", Version: version()}).Run(ctx)
	if err != nil {
		return &exitError{register.ExitCode(err), err}
	}
	return nil
}
