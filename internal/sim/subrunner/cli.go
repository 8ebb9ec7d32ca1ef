// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Exit statuses. How a job ended shows in none of them.
const (
	exitDone   = 0
	exitForced = 1
	exitUsage  = 2
)

// Main is the command line `gitlab-runner run-single …`, `exec-fetched-job …` and
// `--version`. args are those after the program's name. It ends by signals, not
// with ctx: a signal means that the job's end is still reported.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx = context.WithoutCancel(ctx)
	log := slog.New(slog.NewTextHandler(stderr, nil))
	for len(args) > 0 && globalFlag(args[0]) {
		args = args[1:]
	}
	if len(args) == 0 {
		_, _ = fmt.Fprintln(stderr, "want run-single, exec-fetched-job or --version")
		return exitUsage
	}
	switch verb := strings.TrimLeft(args[0], "-"); verb {
	case "version", "v":
		_, _ = fmt.Fprintf(stdout, "Version:      %s\nGit revision: %s\nGit branch:   simulator\nGO version:   %s\nOS/Arch:      %s/%s\n",
			Version, Revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitDone
	case "run-single", "exec-fetched-job":
		o, rest, err := parseFlags(verb, args[1:], os.Getenv, stderr)
		if err != nil {
			return exitUsage
		}
		o.Log = log
		return runSignalled(ctx, verb, o, rest)
	}
	_, _ = fmt.Fprintf(stderr, "%q is not simulated: want run-single, exec-fetched-job or --version\n", args[0])
	return exitUsage
}

// globalFlag knows the flags before the command, which change nothing here.
func globalFlag(arg string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return strings.HasPrefix(arg, "-") && (name == "debug" || name == "log-format" || name == "log-level")
}

// parseFlags reads flags, each of which may come from the environment too.
func parseFlags(verb string, args []string, env func(string) string, stderr io.Writer) (Options, []string, error) {
	var o Options
	f := flag.NewFlagSet(verb, flag.ContinueOnError)
	f.SetOutput(stderr)
	for _, name := range []string{"c", "config"} {
		f.StringVar(&o.ConfigFile, name, env("CONFIG_FILE"), "configuration `file`")
	}
	for _, name := range []string{"r", "runner"} {
		f.StringVar(&o.RunnerName, name, "", "`name` of the [[runners]] section")
	}
	for _, name := range []string{"u", "url"} {
		f.StringVar(&o.URL, name, env("CI_SERVER_URL"), "`URL` of the coordinator")
	}
	for _, name := range []string{"t", "token"} {
		f.StringVar(&o.Token, name, env("CI_SERVER_TOKEN"), "runner `token`")
	}
	f.StringVar(&o.Executor, "executor", env("RUNNER_EXECUTOR"), "executor")
	f.IntVar(&o.MaxBuilds, "max-builds", 0, "leave after so many jobs")
	wait := f.Int("wait-timeout", 0, "leave when no job came for so many `seconds`")
	f.Int("shutdown-timeout", 0, "accepted and not used")
	if err := f.Parse(args); err != nil {
		return o, nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	o.WaitTimeout = time.Duration(*wait) * time.Second
	if verb == "exec-fetched-job" && f.NArg() != 1 {
		_, _ = fmt.Fprintln(stderr, "exec-fetched-job: want one file with a job")
		return o, nil, errUsage
	}
	return o, f.Args(), nil
}

// runSignalled runs a command and obeys signals the way gitlab-runner does.
func runSignalled(ctx context.Context, verb string, o Options, rest []string) int {
	quit, terminate := make(chan struct{}), make(chan struct{})
	o.Quit, o.Terminate = quit, terminate
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() {
		if verb == "exec-fetched-job" {
			ended <- ExecFetchedJob(ctx, o, rest[0])
			return
		}
		ended <- RunSingle(ctx, o)
	}()
	quitting, terminating := false, false
	for {
		select {
		case err := <-ended:
			if err != nil {
				o.Log.Error("sub-runner failed", "err", err)
				return exitForced
			}
			return exitDone
		case s := <-signals:
			switch {
			case s == syscall.SIGQUIT && !quitting:
				quitting = true
				close(quit)
			case s == syscall.SIGQUIT:
			case terminating:
				return exitForced
			default:
				terminating = true
				close(terminate)
			}
		}
	}
}
