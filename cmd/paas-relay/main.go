// SPDX-License-Identifier: Apache-2.0

// Command paas-relay runs on an instance, between the job's sub-runner and the
// coordinator. It is started by the instance's image with the one file that says
// what to do; see package relay.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"heptapod-paas-runner/internal/relay"
)

// version is set when a release is built.
var version string

// Exit codes, as for all programs of this project.
const (
	exitDone = iota
	exitFailed
	exitUsage
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("paas-relay", ownVersion())
		return exitDone
	}
	if len(args) != 1 || args[0] == "" || args[0][0] == '-' {
		fmt.Fprintln(os.Stderr, "usage: paas-relay FILE   (relay.json)\n       paas-relay --version")
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	stop := make(chan os.Signal, 4)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	out, err := relay.Run(context.Background(), relay.Config{File: args[0]}, relay.Deps{Stop: stop, Log: log, Version: ownVersion()})
	if err != nil {
		log.Error("relay", "err", err)
		return exitFailed
	}
	log.Info("job ended", "state", out.State, "reason", out.FailureReason, "exit_code", out.ExitCode, "by", out.By)
	return exitDone
}

func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
