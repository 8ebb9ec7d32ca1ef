// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

var errPower = errors.New("power cut")

// hookAt cuts the power at one point.
type hookAt struct {
	at   string
	seen []string
}

func (h *hookAt) Point(name string) error {
	h.seen = append(h.seen, name)
	if name == h.at {
		return errPower
	}
	return nil
}

func TestFailpoints(t *testing.T) {
	t.Parallel()
	hook := &hookAt{}
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Hook: hook})
	defer mustClose(t, s)
	for _, c := range []struct {
		point   string
		applied bool
	}{{"commit x/before", false}, {"commit x/after", true}} {
		hook.at = c.point
		change := Change{Name: "x", Meta: map[string]string{c.point: "set"}}
		if err := s.Commit(t.Context(), change); !errors.Is(err, errPower) {
			t.Errorf("%s: %v", c.point, err)
		}
		snap, err := s.Load(t.Context())
		if _, applied := snap.Meta[c.point]; err != nil || applied != c.applied {
			t.Errorf("%s: applied is %v, %v", c.point, applied, err)
		}
	}
	hook.at = ""
	mustCommit(t, s, Change{Name: "y"})
	want := []string{"commit x/before", "commit x/before", "commit x/after", "commit y/before", "commit y/after"}
	if diff := cmp.Diff(want, hook.seen); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
}

// A full disk: nothing is applied, the error says so, reading goes on, and when there
// is space again commits work without reopening.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	mustCommit(t, s, Change{Jobs: []fleet.Job{wholeJob(1)}})
	limitPages(t, s, 1) // SQLite makes of it: no page more than there are
	big := wholeJob(2)
	big.Payload = make([]byte, 1<<20)
	small := wholeJob(1)
	small.Name = "changed"
	err := s.Commit(t.Context(), Change{Name: "big", Jobs: []fleet.Job{small, big}})
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("want it full, have %v", err)
	}
	if snap, err := s.Load(t.Context()); err != nil || len(snap.Jobs) != 1 || snap.Jobs[0].Name == "changed" {
		t.Errorf("half of it was applied: %v, %v", snap.Jobs, err)
	}
	limitPages(t, s, 1<<30)
	mustCommit(t, s, Change{Name: "big", Jobs: []fleet.Job{small, big}})
	if snap, err := s.Load(t.Context()); err != nil || len(snap.Jobs) != 2 || snap.Jobs[0].Name != "changed" {
		t.Errorf("after the repair: %d jobs, %v", len(snap.Jobs), err)
	}
}

// A failure that shows when the transaction ends, as that of a disk that fills up while
// its pages are written: it is told, nothing is applied, and the next commit works.
func TestFailureAtTheEnd(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	mustCommit(t, s, Change{Meta: map[string]string{"a": "before"}})
	run := func(statement string) {
		t.Helper()
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	run("PRAGMA foreign_keys = ON")
	run("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
	run("CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
	run("CREATE TRIGGER orphan AFTER UPDATE ON meta BEGIN INSERT INTO child VALUES (1); END")
	if err := s.Commit(t.Context(), Change{Name: "x", Meta: map[string]string{"a": "after"}}); err == nil {
		t.Error("no error")
	}
	run("DROP TRIGGER orphan")
	if snap, err := s.Load(t.Context()); err != nil || snap.Meta["a"] != "before" {
		t.Errorf("applied: %v, %v", snap.Meta, err)
	}
	mustCommit(t, s, Change{Meta: map[string]string{"a": "at last"}})
	if snap, err := s.Load(t.Context()); err != nil || snap.Meta["a"] != "at last" {
		t.Errorf("the next commit: %v, %v", snap.Meta, err)
	}
}

func limitPages(t *testing.T, s *Store, n int) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyLedger(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	pragma := func(on int) {
		t.Helper()
		if _, err := s.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA query_only = %d", on)); err != nil {
			t.Fatal(err)
		}
	}
	pragma(1)
	if err := s.Commit(t.Context(), Change{Meta: map[string]string{"a": "b"}}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("want it read-only, have %v", err)
	}
	pragma(0)
	mustCommit(t, s, Change{Meta: map[string]string{"a": "b"}})
}

// step is one thing that happens to a ledger.
type step struct {
	change Change
	cut    string // "", "before" or "after"
	reopen bool
}

func drawStep(t *rapid.T) step {
	change := Change{Name: "draw", Meta: map[string]string{}}
	for range rapid.IntRange(0, 3).Draw(t, "jobs") {
		job := fleet.Job{
			JobID: fleet.JobID{Coordinator: rapid.SampledFrom([]string{site, "https://other.example"}).Draw(t, "site"), ID: rapid.Int64Range(1, 5).Draw(t, "id")},
			State: rapid.SampledFrom(fleet.JobStates()).Draw(t, "state"), Token: secret.New(rapid.String().Draw(t, "token")),
			Payload: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "payload"), Prefix: rapid.String().Draw(t, "prefix"),
			PrefixFrozen: rapid.Bool().Draw(t, "frozen"), Seq: rapid.Int64Range(1, 100).Draw(t, "seq"), AcquiredAt: at(rapid.IntRange(0, 1000).Draw(t, "at")),
		}
		change.Jobs = append(change.Jobs, job)
	}
	for range rapid.IntRange(0, 3).Draw(t, "instances") {
		change.Instances = append(change.Instances, fleet.Instance{
			Key: fmt.Sprintf("key-%d", rapid.IntRange(1, 4).Draw(t, "key")), State: rapid.SampledFrom(fleet.InstanceStates()).Draw(t, "life"),
			Handle: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "handle"), Started: rapid.Bool().Draw(t, "started"),
		})
	}
	if key := rapid.StringN(0, 2, -1).Draw(t, "meta"); key != "" {
		change.Meta[key] = rapid.String().Draw(t, "value")
	}
	return step{
		change: change, reopen: rapid.IntRange(0, 3).Draw(t, "reopen") == 3,
		cut: rapid.SampledFrom([]string{"", "", "", "before", "after"}).Draw(t, "cut"),
	}
}

// model is the ledger as maps.
type model struct {
	jobs      map[fleet.JobID]fleet.Job
	instances map[string]fleet.Instance
	meta      map[string]string
}

func (m *model) apply(c Change) {
	for _, job := range c.Jobs {
		if job.State == fleet.JobClosed {
			job.Token, job.Payload = secret.String{}, nil
		}
		m.jobs[job.JobID] = job
	}
	for _, instance := range c.Instances {
		m.instances[instance.Key] = instance
	}
	maps.Copy(m.meta, c.Meta)
}

func TestAnyHistoryEqualsTheModel(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 8).Draw(t, "steps")
		hook := &hookAt{}
		cfg := Config{Path: filepath.Join(folder, fmt.Sprintf("ledger-%d.db", run)), Hook: hook}
		s, err := Open(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		m := &model{jobs: map[fleet.JobID]fleet.Job{}, instances: map[string]fleet.Instance{}, meta: map[string]string{}}
		for i, st := range steps {
			hook.at = "commit draw/" + st.cut
			err := s.Commit(context.Background(), st.change)
			if (st.cut == "") != (err == nil) {
				t.Fatalf("step %d: %v", i, err)
			}
			if st.cut != "before" {
				m.apply(st.change)
			}
			if st.reopen {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(context.Background(), cfg); err != nil {
					t.Fatal(err)
				}
				m.compare(t, s)
			}
		}
		m.compare(t, s)
	})
}

func (m *model) compare(t *rapid.T, s *Store) {
	jobs, instances, err := s.History(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got := &model{jobs: map[fleet.JobID]fleet.Job{}, instances: map[string]fleet.Instance{}}
	for _, job := range jobs {
		got.jobs[job.JobID] = job
	}
	for _, instance := range instances {
		got.instances[instance.Key] = instance
	}
	snap, err := s.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got.meta = snap.Meta
	emptyIsNil := cmp.Transformer("bytes", func(b []byte) string { return string(b) })
	if diff := cmp.Diff(m, got, cmp.AllowUnexported(model{}), sameSecret, emptyIsNil); diff != "" {
		t.Fatalf("ledger (-want +got):\n%s", diff)
	}
	for _, job := range snap.Jobs {
		if !job.State.Open() || job.Seq >= snap.NextSeq {
			t.Fatalf("snapshot has job %+v, next is %d", job, snap.NextSeq)
		}
	}
	for _, instance := range snap.Instances {
		if instance.State == fleet.InstanceGone {
			t.Fatalf("snapshot has instance %+v", instance)
		}
	}
}

const childEnv = "LEDGER_TEST_CHILD"

// TestMain lets the test binary be the child that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		writeForEver(path)
	}
	if what := os.Getenv(importChildEnv); what != "" {
		importAndDie(what)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeForEver commits ever higher numbers and prints each one that is acknowledged.
func writeForEver(path string) {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	snap, err := s.Load(ctx)
	if err != nil {
		fmt.Println("load:", err)
		os.Exit(1)
	}
	n, _ := strconv.Atoi(snap.Meta["n"]) // "" is 0
	for {
		n++
		job := wholeJob(int64(n))
		job.Payload = make([]byte, n*31%9000)
		change := Change{Name: "n", Jobs: []fleet.Job{job}, Meta: map[string]string{"n": strconv.Itoa(n)}}
		if err := s.Commit(ctx, change); err != nil {
			fmt.Println("commit:", err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	kills := 8
	if testing.Short() {
		kills = 3
	}
	for kill := range kills {
		acknowledged := runUntilKilled(t, path, 5+kill*7)
		s := mustOpen(t, Config{Path: path}) // the lock went with the child
		snap, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(snap.Meta["n"])
		if err != nil || n < acknowledged {
			t.Errorf("%d was acknowledged, the ledger has %d, %v", acknowledged, n, err)
		}
		if int64(len(snap.Jobs)) != int64(n) || snap.NextSeq != int64(n)+1 {
			t.Errorf("a commit was applied in part: number %d, %d jobs, next %d", n, len(snap.Jobs), snap.NextSeq)
		}
		mustClose(t, s)
	}
}

// runUntilKilled starts the child, kills it after some commits, and gives the last
// number that it printed as committed.
func runUntilKilled(t *testing.T, path string, commits int) int {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last, count := 0, 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Errorf("the child said %q", lines.Text())
			break
		}
		last = n
		if count++; count == commits {
			if err := child.Process.Kill(); err != nil { // and read on: what it printed counts
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed
	if count < commits {
		t.Fatalf("the child made %d commits, want %d", count, commits)
	}
	return last
}
