// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"heptapod-paas-runner/internal/demo"
)

// demoCmd is `demo`.
type demoCmd struct {
	Keep  bool   `help:"Leave everything running when the jobs have ended, until Ctrl-C."`
	JSON  string `name:"json" placeholder:"FILE" help:"Write the URLs and job ids to this file as soon as they are known."`
	Relay string `placeholder:"PATH" help:"The paas-relay for this computer (default: the one beside this program)."`
}

// Help is the text below the flags.
func (*demoCmd) Help() string {
	return `Starts a simulated GitLab, a simulated Clever Cloud and the service as separate processes, queues ten jobs
(some fail, some are canceled, one has to wait for room), shows what becomes of them, and checks that nothing is left
behind. Needs no network, no account and no Docker; the jobs are run by this computer's shell. Ends within a minute.

Examples:

    heptapod-paas-runner demo
    heptapod-paas-runner demo --keep --json demo.json`
}

// Run runs the demo.
func (c *demoCmd) Run(ctx context.Context, std streams) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	relay, err := findRelay(self, c.Relay)
	if err != nil {
		return err
	}
	cfg := demo.Config{Program: self, Relay: relay, Out: std.out, Terminal: terminal(std.out), Keep: c.Keep, JSON: c.JSON}
	if file, ok := std.out.(*os.File); ok && cfg.Terminal {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			width = 80
		}
		cfg.Width = cmp.Or(width, 80)
	}
	err = demo.Run(ctx, cfg)
	if errors.Is(err, demo.ErrInterrupted) {
		return &exitError{codeInterrupted, err}
	}
	return err
}
