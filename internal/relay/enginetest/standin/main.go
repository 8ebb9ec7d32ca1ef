// SPDX-License-Identifier: Apache-2.0

// Command standin stands in for a stock gitlab-runner in the tests of the relay: it
// knows run-single and Heptapod's exec-fetched-job with the docker executor, and the two
// commands that a helper container is started with. It is no runner for real work; it does what matters to
// whoever stands between it and a coordinator, the way gitlab-runner 17.9 does it: it
// reads the same configuration, asks for the job at the url there, makes its
// containers over the mounted socket, and lets a helper container carry artifacts.
//
// The one idea: where stock gitlab-runner is cruel, so is this. With a network of its
// own making (FF_NETWORK_PER_BUILD and no network_mode) it removes by force every
// container that it finds there when the job ends, whoever made it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, log io.Writer) error {
	if len(args) == 0 {
		return errors.New("want run-single, exec-fetched-job, artifacts-downloader or artifacts-uploader")
	}
	switch args[0] {
	case "run-single":
		return single(ctx, args[1:], log)
	case "exec-fetched-job":
		return fetched(ctx, args[1:], log)
	case "artifacts-downloader", "artifacts-uploader":
		return carry(ctx, args[0], args[1:], log)
	}
	return fmt.Errorf("%s is not known here", args[0])
}

const (
	checkInterval = 3 * time.Second
	forbidden     = 300 * time.Second // what gitlab-runner sleeps after a 403
)

// single is run-single: jobs until there were enough, or none came for too long.
// How a job ended does not show in how it ends.
func single(ctx context.Context, args []string, log io.Writer) error {
	f := flag.NewFlagSet("run-single", flag.ContinueOnError)
	f.SetOutput(log)
	file, name := f.String("config", "", ""), f.String("runner", "", "")
	builds, wait := f.Int("max-builds", 0, ""), f.Int("wait-timeout", 0, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	r, err := readRunner(*file, *name)
	if err != nil {
		return err
	}
	c := newClient(r.URL)
	for done, since := 0, time.Now(); ctx.Err() == nil && (*builds == 0 || done < *builds); {
		pause := checkInterval
		switch p, status := c.request(ctx, r.Token); status {
		case 201:
			fmt.Fprintln(log, "Checking for jobs... received job", p.ID)
			runJob(ctx, r, c, p, log)
			done, since, pause = done+1, time.Now(), 0
		case 403:
			fmt.Fprintln(log, "Checking for jobs... forbidden")
			pause = forbidden
		}
		if *wait > 0 && time.Since(since) > time.Duration(*wait)*time.Second {
			fmt.Fprintln(log, "no job came in time")
			return nil
		}
		sleep(ctx, pause)
	}
	return nil
}

// fetched is exec-fetched-job: one job that somebody else has acquired.
func fetched(ctx context.Context, args []string, log io.Writer) error {
	f := flag.NewFlagSet("exec-fetched-job", flag.ContinueOnError)
	f.SetOutput(log)
	file := f.String("config", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	r, err := readRunner(*file, "")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(f.Arg(0))
	if err != nil {
		return err
	}
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	runJob(ctx, r, newClient(r.URL), &p, log)
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
