// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sight is one job as the two simulators show it at one moment.
type sight struct {
	order order
	job   ciJob
	app   application // zero while it has none
}

// The stages that people see.
const (
	stageQueued    = "queued"
	stageWaiting   = "waiting"
	stageLaunching = "launching"
	stageRunning   = "running"
	stageRemoving  = "removing"
	stageDone      = "done"
)

// stage says how far the job is.
func (s sight) stage() string {
	switch {
	case s.job.AcquiredAt == nil:
		return stageQueued
	case s.final() && (s.app.ID == "" || s.app.DeletedAt != nil):
		return stageDone
	case s.final():
		return stageRemoving
	case s.app.ID == "":
		return stageWaiting
	case s.job.FirstOutputAt == nil:
		return stageLaunching
	}
	return stageRunning
}

func (s sight) final() bool {
	return s.job.Status == "success" || s.job.Status == "failed" || s.job.Status == "canceled"
}

// result is how the job ended, for people.
func (s sight) result() string {
	switch {
	case !s.final():
		return s.job.Status
	case s.job.Status == "failed" && s.job.ExitCode != nil && *s.job.ExitCode != 0:
		return fmt.Sprintf("failed (exit %d)", *s.job.ExitCode)
	case s.job.Status == "failed":
		return fmt.Sprintf("failed (%s)", s.job.FailureReason)
	}
	return s.job.Status
}

// flavor is the size of its instance, or what was asked for.
func (s sight) flavor() string {
	if s.app.Flavor != "" {
		return strings.TrimPrefix(s.app.Flavor, flavorPrefix)
	}
	return s.order.flavor
}

// lastLine is the end of what the user reads, without colours.
func (s sight) lastLine() string {
	text := strings.TrimRight(s.job.Trace, "\r\n")
	text = text[strings.LastIndexAny(text, "\r\n")+1:]
	return uncoloured(text)
}

// uncoloured removes terminal sequences such as "\x1b[36m".
func uncoloured(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		text = rest[min(len(rest), strings.IndexFunc(rest, isLetter)+1):]
	}
}

func isLetter(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' }

const flavorPrefix = "heptapod-runner-"

// look asks both simulators and joins what they say.
func (d *demo) look(ctx context.Context) ([]sight, error) {
	var jobs []ciJob
	if err := d.gitlab.call(ctx, "GET", "/_sim/jobs", nil, &jobs); err != nil {
		return nil, err
	}
	var apps []application
	if err := d.clever.call(ctx, "GET", "/_sim/applications", nil, &apps); err != nil {
		return nil, err
	}
	byID := map[int64]ciJob{}
	for _, j := range jobs {
		byID[j.ID] = j
	}
	out := make([]sight, len(d.orders))
	for i, o := range d.orders {
		out[i] = sight{order: o, job: byID[d.ids[i]]}
		for _, a := range apps {
			if strings.HasSuffix(a.Name, "-"+strconv.FormatInt(d.ids[i], 10)) {
				out[i].app = a
			}
		}
	}
	return out, nil
}

// leftOver names the applications that still exist.
func (d *demo) leftOver(ctx context.Context) ([]string, error) {
	var apps []application
	if err := d.clever.call(ctx, "GET", "/_sim/applications", nil, &apps); err != nil {
		return nil, err
	}
	var out []string
	for _, a := range apps {
		if a.DeletedAt == nil {
			out = append(out, fmt.Sprintf("application %s is %s, not deleted", a.Name, a.State))
		}
	}
	return out, nil
}

// between is the time from one moment to another in seconds, "-" when one of them
// never came. What happened in the other order took no time.
func between(from, to *time.Time) string {
	if from == nil || to == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f s", max(0, to.Sub(*from).Seconds()))
}
