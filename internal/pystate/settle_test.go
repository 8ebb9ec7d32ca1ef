// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// imported makes a ledger of a state file, as the service does.
func imported(t *testing.T, name string, c Config) *store.Store {
	t.Helper()
	return importedText(t, testdata(t, name), c)
}

func importedText(t *testing.T, text []byte, c Config) *store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ledger, err := store.Open(t.Context(), store.Config{Path: path, Import: func(old []byte, backup string) (store.Change, error) {
		c.Backup = backup
		return Import(old, c)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return ledger
}

func settle(t *testing.T, ledger *store.Store, c Config) string {
	t.Helper()
	var log bytes.Buffer
	if err := Settle(t.Context(), ledger, c.Runners, c.Now, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

// The import is told once: a line for each job, and a sum.
func TestReportIsToldOnce(t *testing.T) {
	t.Parallel()
	c := settings(t)
	ledger := imported(t, "0.6.json", c)
	first, second := settle(t, ledger, c), settle(t, ledger, c)
	if n := strings.Count(first, `msg="taken over from the Python program"`); n != 10 {
		t.Errorf("%d lines for 10 jobs:\n%s", n, first)
	}
	for _, want := range []string{
		`msg="the Python program's state is taken over" jobs=10 instances=9 weight=`, "generation=0.6", "state.json.python-2",
		"runner=many job=202 instance=hpd-job-glrt-abc-202 state=starting from=launched", "put these back and restart", "jobs=1",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("not told: %s\n%s", want, first)
		}
	}
	if second != "" || strings.Contains(first, "CANARY") {
		t.Errorf("told again, or a secret: %s", second)
	}
}

// Jobs may stand behind a key that no known release writes: it is told, not passed over.
func TestUnreadKeysAreTold(t *testing.T) {
	t.Parallel()
	c := settings(t)
	text := []byte(`{"launched": [], "pending": [], "parked": [{"token": "CANARY"}], "version": 9}`)
	change, err := Import(text, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(Unread(change), " "); got != `"parked" "version"` {
		t.Errorf("unread are %s", got)
	}
	told := settle(t, importedText(t, text, c), c)
	if !strings.Contains(told, "keys that no known release writes") || !strings.Contains(told, "parked") || strings.Contains(told, "CANARY") {
		t.Errorf("not told, or too much: %s", told)
	}
}

// What belonged to an absent runner is tied to it when it is back, whole.
func TestAbsentRunnersComeBack(t *testing.T) {
	t.Parallel()
	c := settings(t)
	all := c.Runners
	c.Runners = []config.Runner{runner(t, "else", "XXXXXXXXXXXX", "https://x.example", false)}
	ledger := imported(t, "0.6.json", c)
	before, err := ledger.Load(t.Context())
	if err != nil || len(before.Jobs) != 10 || len(before.Instances) != 9 {
		t.Fatalf("%d jobs, %d instances, %v", len(before.Jobs), len(before.Instances), err)
	}
	for _, j := range before.Jobs {
		if !strings.HasPrefix(string(j.Owner), absent) || !strings.HasPrefix(j.Coordinator, absent) {
			t.Errorf("job %+v", j)
		}
	}
	settle(t, ledger, c)
	c.Runners = all
	if log := settle(t, ledger, c); !strings.Contains(log, "jobs=9 instances=8") {
		t.Errorf("told: %s", log)
	}
	after, err := ledger.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As if the runners had been there all the time, but for the randomness.
	fresh := plan(t, "0.6.json", settings(t))
	want := rows(store.Change{Jobs: fresh.Jobs, Instances: fresh.Instances})
	if diff := cmp.Diff(sortedLines(want), sortedLines(rows(store.Change{Jobs: after.Jobs, Instances: after.Instances}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, j := range after.Jobs {
		if j.Runner == "single" && (j.Owner != all[0].Owner || j.Coordinator != all[0].Coordinator || j.Token.Empty()) {
			t.Errorf("job %+v", j)
		}
	}
	for _, vm := range after.Instances {
		if vm.Runner == "single" && vm.Job.ID != 0 && vm.Job.Coordinator != all[0].Coordinator {
			t.Errorf("instance %+v", vm)
		}
	}
	if closed, ok, err := ledger.Job(t.Context(), fleet.JobID{Coordinator: absent + "D3adNQYu", ID: 201}); err != nil || !ok || closed.State != fleet.JobClosed || !closed.Token.Empty() {
		t.Errorf("the old record: %+v, %v", closed, err)
	}
	if log := settle(t, ledger, c); log != "" {
		t.Errorf("tied again: %s", log)
	}
}

func sortedLines(text string) []string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return lines
}

// While two runners may be meant, records stay as they are, and it is told why.
func TestAmbiguityOfThoseComingBack(t *testing.T) {
	t.Parallel()
	c := settings(t)
	single := c.Runners[0]
	c.Runners = c.Runners[1:]
	ledger := imported(t, "0.5.json", c)
	settle(t, ledger, c)
	c.Runners = append(c.Runners, single, runner(t, "other", "D3adNQYuXXXXXXXX", "https://heptapod.example.com", false))
	if log := settle(t, ledger, c); !strings.Contains(log, "several runners may be meant") || strings.Contains(log, "tied") {
		t.Errorf("told: %s", log)
	}
}
