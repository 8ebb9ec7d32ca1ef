// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/manager"
	"heptapod-paas-runner/internal/online"
	"heptapod-paas-runner/internal/store"
)

// checkCmd is `check CONFIG`.
type checkCmd struct {
	Config string `arg:"" name:"CONFIG" help:"The configuration file."`
	Online bool   `help:"Ask the coordinators and the clouds too. Nothing is changed there."`
}

// Help is the text below the flags.
func (*checkCmd) Help() string {
	return `Reads the file as the service would, and prints every problem with its line, what was found and what is
allowed. Nothing outside of this computer is asked, unless with --online: that tries every credential, says when they
end, and whether zones and flavors exist, and which other managers use a runner.

Exit code 3 means that the file is wrong, 1 that --online found something wrong, 4 that somebody could not be reached
and nothing else is wrong.

Examples:

    heptapod-paas-runner check /etc/heptapod-runner/paas-runner.toml
    heptapod-paas-runner check paas.toml --online
    heptapod-paas-runner check paas.toml && systemctl restart heptapod-paas-runner`
}

// Run prints what is wrong, or that nothing is.
func (c *checkCmd) Run(ctx context.Context, std streams) error {
	cfg, err := config.Load(c.Config)
	invalid, bad := errors.AsType[*config.Error](err)
	if err != nil && !bad {
		return &exitError{codeInvalid, err}
	}
	var problems []string
	if bad {
		cfg = invalid.Partial
		for _, p := range invalid.Problems {
			problems = append(problems, p.String())
		}
	}
	if cfg != nil { // else it is no TOML
		for _, warning := range cfg.Warnings {
			std.say("warning: %s", warning)
		}
		problems = append(problems, checkPlaces(cfg, !bad, std)...)
	}
	if len(problems) > 0 {
		for _, p := range problems {
			std.say("%s", p)
		}
		return &exitError{codeInvalid, fmt.Errorf("%s: %s", c.Config, count(len(problems), "problem"))}
	}
	if err := std.print(fmt.Sprintf("%s: good, %s", c.Config, count(len(cfg.Runners), "runner"))); err != nil || !c.Online {
		return err
	}
	return c.online(ctx, cfg, std)
}

// online asks outside and prints what was found: what is well to stdout, what is not to
// stderr.
func (c *checkCmd) online(ctx context.Context, cfg *config.Config, std streams) error {
	if terminal(std.err) {
		std.say("asking outside; at most a minute or so…")
	}
	id, err := manager.RecordedSystemID(ctx, cfg.StateFile)
	if err != nil && !errors.Is(err, store.ErrNotLedger) { // that of the Python program was told about
		std.say("warning: %s: who this manager is for coordinators can't be read: %v", c.Config, err)
	}
	clients := manager.Clients{Version: version(), SystemID: id, Jitter: mathrand.Float64}
	found := online.Check(ctx, cfg, online.Deps{Coordinator: clients.Coordinator, Provisioner: clients.Provisioner, SystemID: id})
	if ctx.Err() != nil {
		return &exitError{codeInterrupted, errors.New("interrupted")}
	}
	return c.print(found, std)
}

func (c *checkCmd) print(found []online.Finding, std streams) error {
	problems, code := 0, codeUnreachable
	for _, f := range found {
		line := fmt.Sprintf("%s:%d: runner %q: ", c.Config, f.Line, f.Runner)
		switch f.Level {
		case online.Good:
			if err := std.print(line + f.Text); err != nil {
				return err
			}
		case online.NotAsked:
			if err := std.print(line + "not known: " + f.Text); err != nil {
				return err
			}
		case online.Warning:
			std.say("warning: %s", line+f.Text)
		case online.Unreachable, online.Wrong:
			std.say("%s", line+f.Text)
			problems++
			if f.Level == online.Wrong {
				code = codeFailed
			}
		}
	}
	if problems == 0 {
		return nil
	}
	return &exitError{code, fmt.Errorf("%s: %s", c.Config, count(problems, "problem"))}
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
