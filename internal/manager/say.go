// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"strings"
	"time"
	"unicode"

	"heptapod-paas-runner/internal/fleet"
)

// Reasons that we send to a coordinator (gitlab-runner-api.md section 5). What the
// user has to mend is a script failure: every other reason shows a banner that says
// to retry. What a retry may mend is a system failure, so that
// `retry: when: runner_system_failure` works.
const (
	reasonScript = "script_failure"
	reasonSystem = "runner_system_failure"
)

// userExitCode is sent with reasonScript, as the Python program does.
const userExitCode = 103

const (
	lineStart = "\x1b[36mheptapod-paas-runner:\x1b[0;m "
	failStart = "\x1b[31;1mheptapod-paas-runner: "
	failEnd   = "\x1b[0;m\n"
)

// say adds a line to what is to be written to the job's trace, which must not be
// frozen yet. In the mode exec-fetched-job nothing may stand before the sub-runner's
// output, since its offset can't be shifted.
func say(r *runner, rec *fleet.Job, text string) {
	if rec.PrefixFrozen || r.cfg.SubRunner == modeExec {
		return
	}
	rec.Prefix += line(text)
}

// line is one of our lines as it stands in a trace.
func line(text string) string { return lineStart + plain(text) + "\n" }

// failureLine is the text with which a job ends in the trace.
func failureLine(text string) string { return failStart + plain(text) + failEnd }

// plain makes text from outside harmless for a terminal and one line long.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return -1
		}
		return r
	}, strings.TrimSpace(text))
}

// round shortens a duration for people.
func round(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Second)
	}
}
