// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"strings"
	"testing"
	"time"
)

// good is a job that ended as it should; each case below spoils one thing.
func good() sight {
	at := func(s int) *time.Time { t := time.Unix(int64(s), 0); return &t }
	code := 3
	return sight{
		order: order{name: "x", flavor: "S", want: want{
			status: "failed", reason: "script_failure", exitCode: 3, flavor: "S", parked: true,
			contains: []string{"here"}, lacks: []string{"secret"},
		}},
		job: ciJob{
			ID: 1, Status: "failed", FailureReason: "script_failure", ExitCode: &code,
			Trace:      "\x1b[36mrunner:\x1b[0;m waits for the quota\nflavor S\nhere\n",
			AcquiredAt: at(1), FirstOutputAt: at(3), FinishedAt: at(4),
		},
		app: application{ID: "app_1", Name: "hpd-job-x-1", Flavor: "heptapod-runner-S", State: "deleted", CreatedAt: at(2), DeletedAt: at(5)},
	}
}

func TestWrongFindsEachMistake(t *testing.T) {
	t.Parallel()
	if wrong := good().wrong(); len(wrong) > 0 {
		t.Fatalf("the good job is wrong: %q", wrong)
	}
	other := 4
	for name, c := range map[string]struct {
		spoil func(*sight)
		says  string
	}{
		"status":        {func(s *sight) { s.job.Status = "success" }, "ended as success"},
		"reason":        {func(s *sight) { s.job.FailureReason = "stuck" }, `"stuck"`},
		"no exit code":  {func(s *sight) { s.job.ExitCode = nil }, "exit code is unknown"},
		"exit code":     {func(s *sight) { s.job.ExitCode = &other }, "exit code is 4"},
		"lost output":   {func(s *sight) { s.job.Trace = strings.ReplaceAll(s.job.Trace, "here", "") }, `does not contain "here"`},
		"secret":        {func(s *sight) { s.job.Trace += "secret" }, `contains "secret"`},
		"not parked":    {func(s *sight) { s.job.Trace = strings.ReplaceAll(s.job.Trace, "quota", "") }, "waited for the quota"},
		"no instance":   {func(s *sight) { s.app = application{} }, "never got an instance"},
		"other flavor":  {func(s *sight) { s.app.Flavor = "heptapod-runner-M" }, "of flavor heptapod-runner-M"},
		"left behind":   {func(s *sight) { s.app.DeletedAt = nil; s.app.State = "ended" }, "is ended, not deleted"},
		"never ran":     {func(s *sight) { s.job.FirstOutputAt = nil }, "never began"},
		"ran":           {func(s *sight) { s.order.want.unrun = true }, "should not have"},
		"instance":      {func(s *sight) { s.order.want.flavor = "" }, "should have none"},
		"flavor unsaid": {func(s *sight) { s.job.Trace = strings.ReplaceAll(s.job.Trace, "flavor", "") }, "of flavor S"},
	} {
		s := good()
		c.spoil(&s)
		if got := strings.Join(s.wrong(), "; "); !strings.Contains(got, c.says) {
			t.Errorf("%s: wrong() = %q, want something with %q", name, got, c.says)
		}
	}
}

func TestStages(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	s := sight{job: ciJob{Status: "pending"}}
	for _, step := range []struct {
		change func()
		want   string
	}{
		{func() {}, stageQueued},
		{func() { s.job.Status, s.job.AcquiredAt = "running", &now }, stageWaiting},
		{func() { s.app.ID = "app" }, stageLaunching},
		{func() { s.job.FirstOutputAt = &now }, stageRunning},
		{func() { s.job.Status = "success" }, stageRemoving},
		{func() { s.app.DeletedAt = &now }, stageDone},
	} {
		step.change()
		if got := s.stage(); got != step.want {
			t.Errorf("stage() = %q, want %q", got, step.want)
		}
	}
}

// The orders are only worth something when the quota really parks the big one, and
// when the echo of a command can't pass for its output.
func TestOrdersTestWhatTheySay(t *testing.T) {
	t.Parallel()
	weights := map[string]float64{"XS": 2.378, "S": 5.657, "M": 13.454, "L": 22.334, "XL": 32}
	const quota = 4 * 13.454
	used := 0.0
	for _, o := range orders() {
		weight := weights[o.flavor]
		if o.flavor == "" {
			weight = weights["M"]
		}
		if o.want.parked {
			if held := weights["L"] + weights["S"]; held+weight <= quota {
				t.Errorf("%s fits beside slow and after-script: it is not parked", o.name)
			}
			break
		}
		if used += weight; used > quota {
			t.Errorf("%s does not fit at once: used %.1f of %.1f", o.name, used, quota)
		}
	}
	for _, o := range orders() {
		echoed := strings.Join(append(append(append([]string{}, o.spec.BeforeScript...), o.spec.Script...), o.spec.AfterScript...), "\n")
		for _, text := range append(o.want.contains, o.want.lacks...) {
			if strings.Contains(echoed, text) {
				t.Errorf("%s: %q is in its script already", o.name, text)
			}
		}
	}
	if len(orders()) < 8 {
		t.Errorf("only %d orders", len(orders()))
	}
}
