// SPDX-License-Identifier: Apache-2.0

// Command heptapod-paas-runner-register registers a runner at its coordinator and adds it
// to the configuration file of heptapod-paas-runner. It is the same as
// `heptapod-paas-runner register`, under the name and with the options that the Python
// program had.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"heptapod-paas-runner/internal/manual"
	"heptapod-paas-runner/internal/register"
)

const (
	name = "heptapod-paas-runner-register"

	codeFailed      = 1
	codeUsage       = 2
	codeInterrupted = 130
)

func main() {
	os.Exit(program(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// program is the whole program as a function of its arguments and streams; the result is
// the exit code.
func program(args []string, in *os.File, out, err io.Writer) int {
	ctx, stop := untilSignal(context.Background(), err)
	defer stop()
	return execute(ctx, args, in, out, err)
}

// cli is the whole command line.
type cli struct {
	LogLevel level `short:"l" aliases:"logging-level" placeholder:"LEVEL" default:"info" help:"Least level that is logged: debug, info, warn or error (default: info)."`
	Version  bool  `help:"Say which version this is."`

	// For those who make packages.
	Man        bool   `hidden:""`
	Completion string `hidden:""`

	register.Options `embed:""`
}

// Help is the text below the usage.
func (c *cli) Help() string {
	return strings.ReplaceAll(c.Options.Help(), "heptapod-paas-runner register", name)
}

func execute(ctx context.Context, args []string, in *os.File, out, err io.Writer) int {
	var line cli
	helped := false
	parser, failed := kong.New(&line,
		kong.Name(name),
		kong.Description("Registers a runner at GitLab or Heptapod, and adds it to the configuration of heptapod-paas-runner."),
		kong.Writers(out, err),
		kong.Exit(func(int) { helped = true }), // --help was printed
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
	)
	if failed != nil {
		say(err, "%v", failed)
		return codeFailed
	}
	_, failed = parser.Parse(args)
	switch {
	case helped:
		return 0
	case failed != nil:
		say(err, "%v", failed)
		say(err, "--help says more")
		return codeUsage
	case line.Version:
		fmt.Fprintf(out, "%s %s\n", name, version())
		return 0
	case line.Man || line.Completion != "":
		return document(parser, line, out, err)
	}
	failed = register.New(register.Deps{
		Console: register.NewConsole(in, err), Out: out, Env: os.LookupEnv, Random: rand.Reader,
		Log: slog.New(slog.NewTextHandler(err, &slog.HandlerOptions{Level: slog.Level(line.LogLevel)})),
	}, register.Config{Options: line.Options, Program: name, Version: version()}).Run(ctx)
	if failed != nil {
		say(err, "%v", failed)
	}
	return register.ExitCode(failed)
}

// document prints the man page, or completions for a shell.
func document(parser *kong.Kong, line cli, out, err io.Writer) int {
	if line.Man {
		fmt.Fprint(out, manual.Man(parser.Model, manual.Page{
			Name: "add a runner to the configuration of heptapod-paas-runner", Version: version(),
			Sections: []manual.Section{{Title: "SEE ALSO", Text: "heptapod-paas-runner(1)"}},
		}))
		return 0
	}
	text, failed := manual.Complete(parser.Model, line.Completion)
	if failed != nil {
		say(err, "%v", failed)
		return codeUsage
	}
	fmt.Fprint(out, text)
	return 0
}

func say(to io.Writer, format string, args ...any) {
	fmt.Fprintf(to, name+": "+format+"\n", args...)
}

// level is a --log-level, in the words of the Python program too.
type level slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *level) UnmarshalText(text []byte) error {
	word := strings.ToLower(string(text))
	for from, to := range map[string]string{"warning": "warn", "critical": "error", "fatal": "error"} {
		if word == from {
			word = to
		}
	}
	if err := (*slog.Level)(l).UnmarshalText([]byte(word)); err != nil || strings.ContainsAny(word, "+-") {
		return fmt.Errorf("%q is not one of debug, info, warn, error", text)
	}
	return nil
}

// oneSignal is how soon after the first a signal is the same one: who sends it to the process
// and to its group, as timeout(1) does, sends it twice.
const oneSignal = 250 * time.Millisecond

// untilSignal gives a context that ends at the first SIGINT or SIGTERM. The second one
// ends the process at once.
func untilSignal(parent context.Context, err io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		for first := time.Now(); time.Since(first) < oneSignal; {
			<-signals
		}
		say(err, "stopped by a second signal")
		os.Exit(codeInterrupted)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// version is what the build recorded about itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}
