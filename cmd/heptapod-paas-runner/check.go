// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"heptapod-paas-runner/internal/config"
)

// checkCmd is `check CONFIG`.
type checkCmd struct {
	Config string `arg:"" name:"CONFIG" help:"The configuration file."`
}

// Help is the text below the flags.
func (*checkCmd) Help() string {
	return `Reads the file as the service would, and prints every problem with its line, what was found and what is
allowed. Nothing outside of this computer is asked.

Examples:

    heptapod-paas-runner check /etc/heptapod-runner/paas-runner.toml
    heptapod-paas-runner check paas.toml && systemctl restart heptapod-paas-runner`
}

// Run prints what is wrong, or that nothing is.
func (c *checkCmd) Run(std streams) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return &exitError{codeInvalid, err}
	}
	for _, warning := range cfg.Warnings {
		std.say("warning: %s", warning)
	}
	if err := checkState(cfg, std); err != nil {
		return &exitError{codeInvalid, err}
	}
	_, err = fmt.Fprintf(std.out, "%s: good, %s\n", c.Config, count(len(cfg.Runners), "runner"))
	return err
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
