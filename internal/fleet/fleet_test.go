// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The weights of the flavors, as documented for the Python program.
func TestWeights(t *testing.T) {
	for mem, want := range map[int]string{
		2048: "2.378", 4096: "5.657", 8192: "13.454", 12288: "22.335", 16384: "32", 24576: "53.121", 32768: "76.109", 0: "0", -5: "0",
	} {
		if got := WeightOf(mem).String(); got != want {
			t.Errorf("%d MiB: got %s, want %s", mem, got, want)
		}
	}
	var sum Weight
	for range 8 {
		sum += WeightOf(8192)
	}
	if sum != 8*WeightOf(8192) {
		t.Error("eight jobs do not fill the quota of eight jobs exactly")
	}
}

func TestOwnerAndKey(t *testing.T) {
	owner, err := OwnerOf("D3adNQYu8OCjkYDbwDaG", "https://Heptapod.example.com:443/ci/")
	if err != nil {
		t.Fatal(err)
	}
	same, _ := OwnerOf("D3adNQYu8OCjkYDbwDaG", "https://heptapod.example.com")
	if owner != same {
		t.Errorf("two spellings of one URL give %s and %s", owner, same)
	}
	other, _ := OwnerOf("D3adNQYu8OCjkYDbwDaG", "http://heptapod.example.com")
	if owner == other || len(owner) != 10 {
		t.Errorf("owner %q, with http %q", owner, other)
	}
	if key := owner.Key(275833); key != "hpd-job-"+string(owner)+"-275833" {
		t.Errorf("key %q", key)
	}
}

// ParseKey is the proof of ownership of unrecorded instances: it takes what Key makes
// and nothing else, however similar.
func TestParseKey(t *testing.T) {
	owner := Owner("abcdefg234")
	if o, id, ok := ParseKey(owner.Key(42)); !ok || o != owner || id != 42 {
		t.Errorf("own key: %v %d %v", o, id, ok)
	}
	for _, alike := range []string{
		"", "hpd-job-", "hpd-job-abcdefg234-", "hpd-job-abcdefg234-42x", "hpd-job-abcdefg234-042", "hpd-job-abcdefg234--42",
		"hpd-job-abcdefg234-+42", "hpd-job-abcdefg234-42-2", "hpd-job-ABCDEFG234-42", "hpd-job-abcdefg23-42", "hpd-job-abcdefg2345-42",
		"hpd-job-abcdefg231-42", " hpd-job-abcdefg234-42", "hpd-job-abcdefg234-42 ", "hpd-job-abcdefg234-0", "hpd-job-kvzWdEMo-275833",
		"hpd-job-abcdefg234-99999999999999999999",
	} {
		if _, _, ok := ParseKey(alike); ok {
			t.Errorf("%q was taken for one of our keys", alike)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("hpd-job-abcdefg234-42")
	f.Add("hpd-job-abcdefg234-")
	f.Fuzz(func(t *testing.T, key string) {
		if owner, id, ok := ParseKey(key); ok && owner.Key(id) != key {
			t.Errorf("%q was accepted, but is written %q", key, owner.Key(id))
		}
	})
}

func TestNormalizeURLRefuses(t *testing.T) {
	for _, bad := range []string{"", "gitlab.example", "ftp://gitlab.example", "https://", "://x", "http://a b/"} {
		if got, err := NormalizeURL(bad); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

// Every state is in the table, closed and gone are ends (but for a deletion that was
// not done), and every open state can be left.
func TestMoves(t *testing.T) {
	for _, s := range JobStates() {
		if !s.Known() || s.Open() != (s != JobClosed) {
			t.Errorf("job state %s", s)
		}
		if s.Open() && !slices.ContainsFunc(JobStates(), s.CanMove) {
			t.Errorf("no way out of job state %s", s)
		}
		early := s != JobFinished && s != JobClosed && s != JobFailing
		if s.CanMove(JobFailing) != early {
			t.Errorf("job: %s to failing is %v", s, s.CanMove(JobFailing))
		}
	}
	for _, s := range InstanceStates() {
		if !s.Known() || s.Counts() != (s != InstanceGone) {
			t.Errorf("instance state %s", s)
		}
	}
	if InstanceGone.CanMove(InstanceStarted) || InstanceUnknown.CanMove(InstanceStarted) || InstanceDeleting.CanMove(InstanceCreated) {
		t.Error("an instance may be started though it was never known to be created")
	}
}

// From any state a walk of legal moves can still reach the end.
func TestEndIsReachable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(InstanceStates()).Draw(t, "from")
		seen := map[InstanceState]bool{s: true}
		for todo := []InstanceState{s}; len(todo) > 0; todo = todo[1:] {
			for _, next := range instanceMoves[todo[0]] {
				if !seen[next] {
					seen[next] = true
					todo = append(todo, next)
				}
			}
		}
		if !seen[InstanceGone] {
			t.Fatalf("gone can't be reached from %s", s)
		}
	})
}

func TestClasses(t *testing.T) {
	inner := &CallError{Class: Transient, RetryAfter: 3 * time.Second, UserText: "busy", Err: errors.New("429")}
	wrapped := fmt.Errorf("create app: %w", inner)
	if ClassOf(wrapped) != Transient || RetryAfterOf(wrapped) != 3*time.Second || UserTextOf(wrapped) != "busy" {
		t.Error("the class is lost by wrapping")
	}
	if ClassOf(errors.New("anything")) != Unknown || ClassOf(context.DeadlineExceeded) != Unknown || !IsCut(context.Canceled) {
		t.Error("an unclassified error is not read as unknown")
	}
}

// What users read of a flavor's size: limits that are not set are not told as zero.
func TestFlavorSize(t *testing.T) {
	for want, f := range map[string]Flavor{
		"4 CPUs, 8 GiB, weight 13.454": {CPUs: 4, MemMiB: 8192, Weight: WeightOf(8192)},
		"1 CPU, 512 MiB, weight 2.5":   {CPUs: 1, MemMiB: 512, Weight: 2500},
		"2 CPUs, 1536 MiB, weight 1":   {CPUs: 2, MemMiB: 1536, Weight: 1000},
		"weight 1":                     {Weight: 1000},
	} {
		if got := f.Size(); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
}
