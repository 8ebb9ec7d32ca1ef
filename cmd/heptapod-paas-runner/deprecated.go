// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"heptapod-paas-runner/internal/config"
)

// deprecated are the options of the Python program's command line. Each is taken, and
// warned about once.
type deprecated struct {
	PollInterval            *seconds `group:"Options of the Python program, deprecated:" placeholder:"SECONDS" help:"Instead of check_interval."`
	JobProgressPollInterval *seconds `group:"Options of the Python program, deprecated:" placeholder:"SECONDS" help:"Instead of job_progress_poll_interval."`
	PollCycles              *int     `group:"Options of the Python program, deprecated:" placeholder:"N" help:"End, as at SIGTERM, when each runner was asked for jobs so many times."`
	DebugSignal             bool     `group:"Options of the Python program, deprecated:" help:"Without effect: SIGUSR1 always writes the state to the log."`
}

// seconds is a number of seconds, whole or not.
type seconds time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *seconds) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > 1e8 {
		return fmt.Errorf("%q is not a number of seconds", text)
	}
	*s = seconds(n * float64(time.Second))
	return nil
}

// Validate is called by the parser.
func (d *deprecated) Validate() error {
	if d.PollCycles != nil && *d.PollCycles < 1 {
		return fmt.Errorf("--poll-cycles=%d: want 1 or more", *d.PollCycles)
	}
	return nil
}

// apply lets the options win over the configuration.
func (d *deprecated) apply(cfg *config.Config) {
	if d.PollInterval != nil {
		cfg.CheckInterval = atLeast(*d.PollInterval, config.DefaultCheckInterval)
	}
	if d.JobProgressPollInterval != nil {
		cfg.JobProgressInterval = atLeast(*d.JobProgressPollInterval, config.DefaultJobProgressInterval)
	}
	if d.PollCycles != nil {
		cfg.PollCycles = *d.PollCycles
	}
}

// atLeast takes 0, and what is next to it, for the default, as the configuration does:
// without any pause the coordinator would suffer.
func atLeast(s seconds, fallback time.Duration) time.Duration {
	if time.Duration(s) < 10*time.Millisecond {
		return fallback
	}
	return time.Duration(s)
}

// warnings say what to write instead.
func (d *deprecated) warnings() []string {
	var out []string
	if d.PollInterval != nil {
		out = append(out, "--poll-interval is deprecated: set check_interval in the configuration")
	}
	if d.JobProgressPollInterval != nil {
		out = append(out, "--job-progress-poll-interval is deprecated: set job_progress_poll_interval in the configuration")
	}
	if d.PollCycles != nil {
		out = append(out, fmt.Sprintf("--poll-cycles is deprecated, and for tests only: the service ends when each runner was asked for jobs %d times", *d.PollCycles))
	}
	if d.DebugSignal {
		out = append(out, "--debug-signal has no effect: SIGUSR1 always writes the state to the log, without secrets")
	}
	return out
}
