// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const site = "https://gitlab.example"

var sameSecret = cmp.Comparer(func(a, b secret.String) bool { return a == b })

func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openTemp opens a new ledger that is closed with the test.
func openTemp(t *testing.T) *Store {
	t.Helper()
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "ledger.db")})
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func mustCommit(t testing.TB, s *Store, c Change) {
	t.Helper()
	if err := s.Commit(context.Background(), c); err != nil {
		t.Fatal(err)
	}
}

func at(second int) time.Time { return time.Unix(1_700_000_000+int64(second), 123_000).UTC() }

// wholeJob has every field set, so that a forgotten column is seen.
func wholeJob(id int64) fleet.Job {
	return fleet.Job{
		JobID: fleet.JobID{Coordinator: site, ID: id}, Owner: "abcdefghij", Runner: "paris", State: fleet.JobFailing,
		Token: secret.New("job-token"), Payload: []byte(`{"id":1}`), Nonce: secret.New("nonce"),
		Name: "test é \x00 end", Project: "group/project", WebURL: site + "/j/1", Tenant: "orga_1", Namespace: "group", NamespaceID: 77, Flavor: "M", Weight: 13454,
		Timeout: time.Hour, Seq: id, Prefix: "line\n", PrefixAcked: 3, PrefixFrozen: true, FailureReason: "runner_system_failure",
		FailureText: "sorry", FailureMark: 6, CancelAt: at(1), Result: "failed", AcquiredAt: at(2), LaunchingAt: at(3),
		StartingAt: at(4), RunningAt: at(5), FinishedAt: at(6), ClosedAt: at(7),
	}
}

func wholeInstance(key string) fleet.Instance {
	return fleet.Instance{
		Key: key, Job: fleet.JobID{Coordinator: site, ID: 1}, Owner: "abcdefghij", Runner: "paris", Tenant: "orga_1", Namespace: "group", NamespaceID: 77,
		Provisioner: "clever", Zone: "par", Flavor: "M", Weight: 13454, State: fleet.InstanceDeleting, Handle: []byte{0, 1, 255},
		Started: true, Creates: 2, Destroys: 3, LastError: "no", IntendedAt: at(1), CreatedAt: at(2), StartedAt: at(3),
		DeletingAt: at(4), GoneAt: at(5),
	}
}

func TestRecordsComeBackWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := mustOpen(t, Config{Path: path})
	want := Snapshot{
		Jobs: []fleet.Job{wholeJob(1), {JobID: fleet.JobID{Coordinator: site, ID: 2}, State: fleet.JobAcquired, Seq: 2}},
		Instances: []fleet.Instance{
			wholeInstance("hpd-job-abcdefghij-1"),
			{Key: "hpd-job-abcdefghij-2", State: fleet.InstanceIntended},
		},
		Runners: []RunnerRecord{{Owner: "abcdefghij", Name: "paris", Coordinator: site}},
		Meta:    map[string]string{"system_id": "r_1", "empty": ""},
		NextSeq: 3, LastLaunch: at(1),
	}
	mustCommit(t, s, Change{Name: "all", Jobs: want.Jobs, Instances: want.Instances, Runners: want.Runners, Meta: want.Meta})
	for range 2 { // as written, and after opening again
		got, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameSecret); diff != "" {
			t.Fatalf("snapshot (-want +got):\n%s", diff)
		}
		mustClose(t, s)
		s = mustOpen(t, Config{Path: path})
	}
	mustClose(t, s)
}

func TestNoFieldIsForgotten(t *testing.T) {
	t.Parallel()
	for _, record := range []reflect.Value{reflect.ValueOf(wholeJob(1)), reflect.ValueOf(wholeInstance("key"))} {
		for i := range record.NumField() {
			if record.Field(i).IsZero() {
				t.Errorf("the test record leaves %s empty, so that its column is not tested", record.Type().Field(i).Name)
			}
		}
	}
}

func TestClosedAndGoneAreHistory(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	for id := range int64(3) {
		job, instance := wholeJob(id+1), wholeInstance(fmt.Sprintf("key-%d", id+1))
		instance.IntendedAt = at(int(id))
		mustCommit(t, s, Change{Name: "new", Jobs: []fleet.Job{job}, Instances: []fleet.Instance{instance}})
		job.State, instance.State = fleet.JobClosed, fleet.InstanceGone
		mustCommit(t, s, Change{Name: "end", Jobs: []fleet.Job{job}, Instances: []fleet.Instance{instance}})
	}
	snap, err := s.Load(t.Context())
	if err != nil || len(snap.Jobs) != 0 || len(snap.Instances) != 0 || snap.NextSeq != 4 || !snap.LastLaunch.Equal(at(2)) {
		t.Errorf("want an empty snapshot with sequence 4 and the last launch, have %+v, %v", snap, err)
	}
	jobs, instances, err := s.History(t.Context(), 2)
	if err != nil || len(jobs) != 2 || len(instances) != 2 {
		t.Fatalf("want two of each, have %d, %d, %v", len(jobs), len(instances), err)
	}
	if jobs[0].ID != 3 || jobs[1].ID != 2 || instances[0].Key != "key-3" || instances[1].Key != "key-2" {
		t.Errorf("not newest first: %v %v", jobs, instances)
	}
	if jobs, instances, err = s.History(t.Context(), 0); err != nil || len(jobs) != 3 || len(instances) != 3 {
		t.Errorf("want all three, have %d, %d, %v", len(jobs), len(instances), err)
	}
	want := wholeJob(2)
	want.State, want.Token, want.Nonce, want.Payload = fleet.JobClosed, secret.String{}, secret.String{}, nil
	job, ok, err := s.Job(t.Context(), want.JobID)
	if diff := cmp.Diff(want, job, sameSecret); !ok || err != nil || diff != "" {
		t.Errorf("closed job: %v %v (-want +got):\n%s", ok, err, diff)
	}
	if _, ok, err := s.Job(t.Context(), fleet.JobID{Coordinator: site, ID: 99}); ok || err != nil {
		t.Errorf("a job that was never recorded: %v, %v", ok, err)
	}
	if instance, ok, err := s.Instance(t.Context(), "key-1"); !ok || err != nil || instance.State != fleet.InstanceGone {
		t.Errorf("gone instance: %v %v %v", instance, ok, err)
	}
	if _, ok, err := s.Instance(t.Context(), "key-99"); ok || err != nil {
		t.Errorf("an instance that was never recorded: %v, %v", ok, err)
	}
}

func TestClosedJobLeavesNoSecretInAnyFile(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	job := wholeJob(1)
	job.State, job.Token, job.Nonce = fleet.JobStarting, secret.New("SECRET-token"), secret.New("SECRET-nonce")
	job.Payload = []byte(strings.Repeat("SECRET-payload ", 20_000)) // over many pages
	mustCommit(t, s, Change{Name: "open", Jobs: []fleet.Job{job}})
	if !filesContain(t, s.path, "SECRET-token") {
		t.Fatal("the test looks at the wrong files")
	}
	job.State = fleet.JobClosed
	mustCommit(t, s, Change{Name: "close", Jobs: []fleet.Job{job}})
	if filesContain(t, s.path, "SECRET-") {
		t.Error("a secret of a closed job is still on the disk")
	}
}

func filesContain(t *testing.T, path, needle string) bool {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), needle) {
			return true
		}
	}
	return false
}

func TestNotesAreKeptAndBounded(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	one, two := fleet.JobID{Coordinator: site, ID: 1}, fleet.JobID{Coordinator: site, ID: 2}
	mustCommit(t, s, Change{Name: "other", Notes: []Note{{At: at(0), Job: two, Text: "quiet"}}})
	for i := range notesPerJob + 50 {
		mustCommit(t, s, Change{Name: "note", Notes: []Note{{At: at(i), Job: one, Text: fmt.Sprint("event ", i)}}})
	}
	got, err := s.Notes(t.Context(), one)
	if err != nil || len(got) != notesPerJob {
		t.Fatalf("want %d notes, have %d, %v", notesPerJob, len(got), err)
	}
	if diff := cmp.Diff(Note{At: at(50), Job: one, Text: "event 50"}, got[0]); diff != "" {
		t.Errorf("oldest note (-want +got):\n%s", diff)
	}
	if got, err := s.Notes(t.Context(), two); err != nil || len(got) != 1 {
		t.Errorf("the other job's note: %v, %v", got, err)
	}
	mustCommit(t, s, Change{Name: "long", Notes: []Note{{Job: two, Text: strings.Repeat("é", noteBytes)}}})
	got, err = s.Notes(t.Context(), two)
	if err != nil || len(got[1].Text) > noteBytes+len("…") || strings.Contains(got[1].Text, "\ufffd") {
		t.Errorf("long note: %d bytes, %v", len(got[1].Text), err)
	}
}

func TestEmptyRecordsAreRefused(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	for name, change := range map[string]Change{
		"no id":         {Jobs: []fleet.Job{{State: fleet.JobAcquired}}},
		"no state":      {Jobs: []fleet.Job{{JobID: fleet.JobID{Coordinator: site, ID: 1}}}},
		"no key":        {Instances: []fleet.Instance{{State: fleet.InstanceGone}}},
		"unknown state": {Instances: []fleet.Instance{{Key: "k", State: "dancing"}}},
	} {
		if err := s.Commit(t.Context(), change); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSQLiteHasNoWALResetBug(t *testing.T) {
	t.Parallel()
	version, err := openTemp(t).SQLiteVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var have [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &have[0], &have[1], &have[2]); err != nil {
		t.Fatal(err)
	}
	if floor := [3]int{3, 51, 3}; have[0]*1e6+have[1]*1e3+have[2] < floor[0]*1e6+floor[1]*1e3+floor[2] {
		t.Errorf("SQLite %s can corrupt a ledger; want %v or later", version, floor)
	}
}

func TestPragmas(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "5000",
	} {
		var got string
		if err := s.db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s: want %s, have %s, %v", pragma, want, got, err)
		}
	}
}

// It must not be parallel: the umask belongs to the whole process.
func TestFilesAreForTheOwnerOnly(t *testing.T) {
	for _, umask := range []int{0, 0o777 &^ 0o700, 0o277} {
		path := filepath.Join(t.TempDir(), "ledger.db")
		old := unix.Umask(umask)
		s, err := Open(t.Context(), Config{Path: path})
		if err == nil {
			err = s.Commit(t.Context(), Change{Meta: map[string]string{"a": "b"}})
		}
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("umask %04o: ledger%s has mode %04o", umask, suffix, info.Mode().Perm())
			}
		}
		mustClose(t, s)
	}
}

func TestWorksInABubble(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			s := mustOpen(t, Config{Path: path})
			for hour := range 24 {
				time.Sleep(time.Hour) // simulated
				job := wholeJob(int64(hour + 1))
				job.AcquiredAt = time.Now().UTC().Truncate(time.Microsecond)
				mustCommit(t, s, Change{Name: "tick", Jobs: []fleet.Job{job}})
				got, ok, err := s.Job(t.Context(), job.JobID)
				if !ok || err != nil || !got.AcquiredAt.Equal(job.AcquiredAt) {
					t.Fatalf("hour %d: %v %v %v", hour, got.AcquiredAt, ok, err)
				}
			}
			mustClose(t, s)
			synctest.Wait() // a goroutine that Close leaves behind ends the test as a deadlock
		})
	}
}

func TestCloseTwiceAndUseAfterClose(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "ledger.db")})
	mustClose(t, s)
	mustClose(t, s)
	if err := s.Commit(t.Context(), Change{Meta: map[string]string{"a": "b"}}); err == nil {
		t.Error("a closed ledger accepted a change")
	}
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ctx, Change{Meta: map[string]string{"a": "b"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("want it cancelled, have %v", err)
	}
	if snap, err := s.Load(t.Context()); err != nil || len(snap.Meta) != 0 {
		t.Errorf("something was applied: %v, %v", snap.Meta, err)
	}
}

// The API reads while the manager writes.
func TestReadersAndWriterTakeTurns(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 20 {
				jobs, instances, err := s.History(t.Context(), 0)
				if err != nil || len(jobs) < len(instances) {
					t.Errorf("%d jobs, %d instances, %v", len(jobs), len(instances), err)
				}
			}
		})
	}
	for id := range int64(20) {
		mustCommit(t, s, Change{Jobs: []fleet.Job{wholeJob(id + 1)}})
	}
	all.Wait()
}

func BenchmarkCommit(b *testing.B) {
	s := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "ledger.db")})
	defer mustClose(b, s)
	job, instance := wholeJob(1), wholeInstance("key")
	job.Payload = make([]byte, 20_000)
	for b.Loop() {
		mustCommit(b, s, Change{Name: "bench", Jobs: []fleet.Job{job}, Instances: []fleet.Instance{instance}})
	}
}

func BenchmarkOpenAndClose(b *testing.B) {
	path := filepath.Join(b.TempDir(), "ledger.db")
	for b.Loop() {
		mustClose(b, mustOpen(b, Config{Path: path}))
	}
}
