// SPDX-License-Identifier: Apache-2.0

// Command heptapod-paas-runner takes CI jobs from GitLab and Heptapod, gives each a
// fresh instance on a PaaS, and removes the instance when the job has ended.
//
// This package is the command line: one file per subcommand, which reads what it is
// given, joins the rooms under internal, and turns their errors into exit codes. It
// decides nothing about jobs or instances.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"heptapod-paas-runner/internal/sim/subrunner"
)

func main() {
	os.Exit(program(os.Args[1:]))
}

// program is the whole program as a function of its arguments; the result is the
// exit code. The tests call it under the program's name.
func program(args []string) int {
	if len(args) >= 2 && args[0] == "sim" && args[1] == "sub-runner" {
		// What the instances of `sim clever` run as gitlab-runner: its flags and its way
		// with signals are gitlab-runner's, not ours.
		return subrunner.Main(context.Background(), args[2:], os.Stdout, os.Stderr)
	}
	keepMemory()
	std := streams{out: os.Stdout, err: os.Stderr}
	ctx, stop := untilSignal(context.Background(), std)
	defer stop()
	return execute(ctx, args, std)
}

// oneSignal is how soon after the first a signal is the same one: who sends it to the process
// and to its group, as timeout(1) does, sends it twice.
const oneSignal = 250 * time.Millisecond

// untilSignal gives a context that ends at the first SIGINT or SIGTERM. The second
// one ends the process at once: whoever sends it has waited long enough.
func untilSignal(parent context.Context, std streams) (context.Context, context.CancelFunc) {
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
		std.say("stopped by a second signal")
		os.Exit(codeInterrupted)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}
