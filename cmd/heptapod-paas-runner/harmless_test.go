// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heptapod-paas-runner/internal/api"
)

// hostile draws a text as a job, a coordinator or a cloud may send it.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.RuneFrom([]rune("a\x1b\x9b\x00\a\b\n\r\t\v\u0085\u202e\u2028\ufeff\U000e0041\"'\\=[]0;m<>"), unicode.Cc, unicode.Cf)),
		rapid.SampledFrom([]string{"\x1b[2J\x1b]0;title\a", "x\nFUSE BLOWN: y", "x\ttab", "\xff\xfe", "section_start:1:x\r\x1b[0K", strings.Repeat("x", 4<<10)}),
	)
}

// status draws a picture of a service whose every text is hostile.
func status(t *rapid.T) api.Status {
	h := func() string { return hostile().Draw(t, "text") }
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	return api.Status{
		Version: h(), At: now, Reasons: []string{h(), h()}, Quota: api.Quota{Used: h(), Total: h()}, Fuse: "blown" + h(), Strangers: []string{h()},
		Runners: []api.Runner{
			{Name: h(), Executor: h(), Problem: h(), Credentials: []api.Credential{{Tenant: h(), EndsAt: now}}},
			{Name: h(), Coordinator: h(), Owner: h(), Waits: h()},
		},
		Jobs:      []api.Job{{Name: h(), Project: h(), Runner: h(), State: h(), Flavor: h(), WaitsFor: h(), FailureText: h()}},
		Instances: []api.Instance{{Key: h(), State: h(), Flavor: h(), LastError: h()}},
		Breakers:  []api.Breaker{{Provisioner: h(), Zone: h(), Tenant: h(), Flavor: h(), State: "open" + h(), Problem: h()}},
	}
}

// obeyed finds a character that a terminal obeys or hides.
func obeyed(text string) string {
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) }); i >= 0 {
		return text[i:min(len(text), i+8)]
	}
	return ""
}

// Nothing that is shown drives the terminal, or makes itself look like a line of ours.
func TestNothingDrivesTheTerminal(t *testing.T) {
	t.Parallel()
	lines := strings.Count(statusText(api.Status{
		Fuse: "x", Strangers: []string{"x"}, Breakers: make([]api.Breaker, 1), Jobs: make([]api.Job, 1), Instances: make([]api.Instance, 1),
		Runners: []api.Runner{{Credentials: make([]api.Credential, 1)}, {}},
	}), "\n")
	rapid.Check(t, func(t *rapid.T) {
		s := status(t)
		text := statusText(s)
		if bad := obeyed(text); bad != "" {
			t.Errorf("status shows %q", bad)
		}
		if got := strings.Count(text, "\n"); got != lines {
			t.Errorf("status has %d lines, want %d:\n%s", got, lines, text)
		}
		a := api.Audit{Fuse: s.Fuse, Problems: s.Reasons, Entries: []api.AuditEntry{{
			Key: s.Instances[0].Key, Tenant: s.Jobs[0].Name, Cloud: s.Jobs[0].State, Ledger: s.Jobs[0].Flavor, Verdict: s.Jobs[0].FailureText,
		}}}
		if text = auditText(a); obeyed(text) != "" || strings.Count(text, "\n") != 6 {
			t.Errorf("audit shows %q", text)
		}
	})
}

func TestWhatIsSaidIsHarmlessAndJSONStaysTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var out, errs strings.Builder
		std := streams{out: &out, err: &errs}
		want := string([]rune(hostile().Draw(t, "text")))
		if err := std.json(map[string]string{"text": want}); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		if diff := cmp.Diff(want, got["text"]); diff != "" {
			t.Error(diff)
		}
		if err := std.print(want); err != nil {
			t.Fatal(err)
		}
		std.say("%v", errors.New(want))
		for _, text := range []string{out.String(), errs.String()} {
			if bad := obeyed(strings.ReplaceAll(text, "\t", " ")); bad != "" {
				t.Errorf("shows %q", bad)
			}
		}
	})
}

// One record is one line, in every form of the log, and drives no terminal.
func TestLogLinesStayLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := hostile().Draw(t, "text")
		var plain, object, colour strings.Builder
		line := cli{LogLevel: "debug"}
		for form, log := range map[string]*slog.Logger{
			"text": line.logger(&plain, "", "text"), "json": line.logger(&object, "", "json"), "colour": slog.New(coloured(&colour, slog.LevelDebug)),
		} {
			log.Info("job", "state", text, "err", errors.New(text), "list", []string{text})
			out := map[string]*strings.Builder{"text": &plain, "json": &object, "colour": &colour}[form].String()
			if form == "colour" { // its own
				for _, code := range []string{"0", "2", "92"} {
					out = strings.ReplaceAll(out, "\x1b["+code+"m", "")
				}
			}
			if strings.Count(out, "\n") != 1 || obeyed(out) != "" {
				t.Errorf("%s: %q", form, out)
			}
		}
		var record map[string]any
		if err := json.Unmarshal([]byte(object.String()), &record); err != nil || record["state"] != string([]rune(text)) {
			t.Errorf("%v: %s", err, object.String())
		}
	})
}
