// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// streams are where a command writes: results to out, everything else to err.
type streams struct {
	out io.Writer
	err io.Writer
}

// say writes one line for people. A closed stream is nothing to stop for.
func (s streams) say(format string, args ...any) {
	_, _ = io.WriteString(s.err, harmless(fmt.Sprintf(format, args...))+"\n")
}

// print writes one line of a result.
func (s streams) print(line string) error {
	_, err := io.WriteString(s.out, harmless(line)+"\n")
	return err
}

// json writes a result for programs, and for people who look at it.
func (s streams) json(value any) error {
	e := json.NewEncoder(harmlessWriter{s.out})
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// cli is the whole command line.
type cli struct {
	LogLevel  level  `short:"l" aliases:"logging-level" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn or error (default: what the configuration says, else info)."`
	LogFormat format `placeholder:"FORMAT" help:"Form of the log on stderr: text or json (default: what the configuration says, else text)."`

	Run      runCmd      `cmd:"" default:"withargs" help:"Run the service. 'heptapod-paas-runner CONFIG' is the same."`
	Register registerCmd `cmd:"" help:"Register a runner at its coordinator and add it to a configuration file."`
	Check    checkCmd    `cmd:"" help:"Say everything that is wrong with a configuration file."`
	Status   statusCmd   `cmd:"" help:"Ask the running service how it is."`
	Audit    auditCmd    `cmd:"" help:"Compare what the clouds show with what the ledger says."`
	Demo     demoCmd     `cmd:"" help:"Show the whole system at work on this computer."`
	Sim      simCmd      `cmd:"" help:"Pretend to be GitLab or Clever Cloud, on this computer."`
	Version  versionCmd  `cmd:"" help:"Say which version this is."`

	Man        manCmd        `cmd:"" hidden:"" help:"Print the man page."`
	Completion completionCmd `cmd:"" hidden:"" help:"Print completions for a shell."`
}

// Help is the text below the list of commands.
func (*cli) Help() string {
	return `Examples:

    heptapod-paas-runner demo                  see it work; needs nothing but this program
    heptapod-paas-runner register paas.toml    make or extend a configuration
    heptapod-paas-runner check paas.toml       what is wrong with my configuration?
    heptapod-paas-runner paas.toml             run the service
    heptapod-paas-runner status -c paas.toml   how is it doing?

Exit codes: 0 done, 1 failed, 2 usage, 3 configuration invalid, 4 service unreachable,
5 state held by another manager, 130 interrupted.`
}

// execute parses the arguments, runs the command and gives its exit code.
func execute(ctx context.Context, args []string, std streams) int {
	var line cli
	helped := false
	parser, err := kong.New(&line,
		kong.Name("heptapod-paas-runner"),
		kong.Description("Takes CI jobs from GitLab and Heptapod, gives each a fresh instance on a PaaS, and removes it afterwards."),
		kong.Writers(std.out, std.err),
		kong.Exit(func(int) { helped = true }), // --help was printed
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std, &line),
	)
	if err != nil {
		std.say("heptapod-paas-runner: %v", err)
		return codeFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if helped {
		return codeDone
	}
	if err != nil {
		std.say("heptapod-paas-runner: %v", err)
		std.say("heptapod-paas-runner --help says more")
		return codeUsage
	}
	if err := command.Run(); err != nil {
		std.say("heptapod-paas-runner: %v", err)
		return codeOf(err)
	}
	return codeDone
}
