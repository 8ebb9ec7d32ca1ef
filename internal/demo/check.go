// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"strings"
)

// wrong says in what a finished job differs from what was ordered; nothing when it
// ended as it should.
func (s sight) wrong() []string {
	var out []string
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	w := s.order.want
	if s.job.Status != w.status {
		complain("it ended as %s, want %s", s.job.Status, w.status)
	}
	if w.reason != "" && s.job.FailureReason != w.reason {
		complain("the failure reason is %q, want %q", s.job.FailureReason, w.reason)
	}
	if w.exitCode != 0 && (s.job.ExitCode == nil || *s.job.ExitCode != w.exitCode) {
		complain("the exit code is %s, want %d", number(s.job.ExitCode), w.exitCode)
	}
	for _, text := range w.contains {
		if !strings.Contains(s.job.Trace, text) {
			complain("its log does not contain %s", excerpt(text))
		}
	}
	for _, text := range w.lacks {
		if strings.Contains(s.job.Trace, text) {
			complain("its log contains %s", excerpt(text))
		}
	}
	return append(out, s.wrongInstance()...)
}

// wrongInstance says what is wrong with the job's instance and the way to it.
func (s sight) wrongInstance() []string {
	var out []string
	w := s.order.want
	switch {
	case w.flavor == "" && s.app.ID != "":
		out = append(out, "it got an instance, and should have none")
	case w.flavor != "" && s.app.ID == "":
		out = append(out, "it never got an instance")
	case w.flavor != "" && s.app.Flavor != flavorPrefix+w.flavor:
		out = append(out, fmt.Sprintf("its instance is of flavor %s, want %s", s.app.Flavor, flavorPrefix+w.flavor))
	}
	if s.app.ID != "" && s.app.DeletedAt == nil {
		out = append(out, fmt.Sprintf("its instance %s is %s, not deleted", s.app.Name, s.app.State))
	}
	if w.flavor != "" && !strings.Contains(s.job.Trace, "flavor "+w.flavor) {
		out = append(out, "its log does not say that its instance is of flavor "+w.flavor)
	}
	if w.unrun && s.job.FirstOutputAt != nil {
		out = append(out, "its script began, and should not have")
	}
	if !w.unrun && s.job.FirstOutputAt == nil {
		out = append(out, "its script never began")
	}
	if w.parked && !strings.Contains(uncoloured(s.job.Trace), "the quota") {
		out = append(out, "it should have waited for the quota, and its log does not say so")
	}
	return out
}

func number(n *int) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}

// excerpt quotes a text, shortened.
func excerpt(text string) string {
	const most = 60
	if r := []rune(text); len(r) > most {
		return fmt.Sprintf("%q... (%d characters)", string(r[:most]), len(r))
	}
	return fmt.Sprintf("%q", text)
}
