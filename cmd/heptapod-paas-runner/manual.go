// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/alecthomas/kong"

	"heptapod-paas-runner/internal/manual"
)

// manCmd is `man`, for those who make packages.
type manCmd struct{}

// Run prints the man page.
func (*manCmd) Run(program *kong.Kong, std streams) error {
	_, err := fmt.Fprint(std.out, manual.Man(program.Model, manual.Page{
		Name: "CI jobs of GitLab and Heptapod, each on a fresh instance of a PaaS", Version: version(),
		Sections: []manual.Section{
			{Title: "FILES", Text: "/etc/heptapod-paas-runner/paas-runner.toml: the configuration of the packaged service.\n\n" +
				"/var/lib/heptapod-paas-runner/state.db: its ledger.\n\n" +
				"/usr/share/doc/heptapod-paas-runner/: every key of the configuration, and how to operate it."},
			{Title: "SEE ALSO", Text: "heptapod-paas-runner-register(1), systemctl(1), journalctl(1)"},
		},
	}))
	return err
}

// completionCmd is `completion SHELL`, for those who make packages.
type completionCmd struct {
	Shell string `arg:"" name:"SHELL" help:"bash, zsh or fish."`
}

// Run prints the completion script.
func (c *completionCmd) Run(program *kong.Kong, std streams) error {
	text, err := manual.Complete(program.Model, c.Shell)
	if err != nil {
		return &exitError{codeUsage, err}
	}
	_, err = fmt.Fprint(std.out, text)
	return err
}
