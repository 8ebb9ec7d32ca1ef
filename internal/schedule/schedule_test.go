// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"heptapod-paas-runner/internal/fleet"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func waiting(weights ...fleet.Weight) []Waiting {
	var out []Waiting
	for i, w := range weights {
		out = append(out, Waiting{ID: fleet.JobID{ID: int64(100 + i)}, Seq: int64(i), Weight: w})
	}
	return out
}

func TestMayPoll(t *testing.T) {
	limits := Limits{Quota: 100 * fleet.Unit, Concurrent: 5, MaxProvisioning: 2, MinBetween: 10 * time.Second}
	r := Runner{Smallest: 2 * fleet.Unit, Largest: 76 * fleet.Unit}
	for _, c := range []struct {
		name    string
		usage   Usage
		runner  Runner
		waiting []Waiting
		want    Kind
	}{
		{"nothing in the way", Usage{}, r, nil, Free},
		{"the smallest fits exactly", Usage{Weight: 98 * fleet.Unit}, r, nil, Free},
		{"the smallest does not fit", Usage{Weight: 98*fleet.Unit + 1}, r, nil, Quota},
		{"strict: the largest must fit", Usage{Weight: 25 * fleet.Unit}, Runner{Smallest: r.Smallest, Largest: r.Largest, Strict: true}, nil, Quota},
		{"strict: the largest fits", Usage{Weight: 24 * fleet.Unit}, Runner{Smallest: r.Smallest, Largest: r.Largest, Strict: true}, nil, Free},
		{"a job is parked", Usage{}, r, waiting(fleet.Unit), Parked},
		{"concurrent", Usage{Jobs: 5}, r, nil, Concurrent},
		{"own limit", Usage{Jobs: 1}, Runner{Smallest: r.Smallest, Limit: 1, Jobs: 1}, nil, RunnerLimit},
		{"provisioning", Usage{Provisioning: 2}, r, nil, Provisioning},
		{"spacing", Usage{LastLaunch: noon.Add(-9 * time.Second)}, r, nil, TooSoon},
		{"spacing is over", Usage{LastLaunch: noon.Add(-10 * time.Second)}, r, nil, Free},
	} {
		if got := MayPoll(limits, c.usage, c.runner, c.waiting, noon); got.Kind != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got.Kind, c.want)
		}
	}
}

func TestNoQuotaAllowsNothing(t *testing.T) {
	limits := Limits{Concurrent: 5, MaxProvisioning: 5}
	if got := MayPoll(limits, Usage{}, Runner{Smallest: 1}, nil, noon); got.Kind != Quota {
		t.Errorf("poll: got %q, want %q", got.Kind, Quota)
	}
	if _, got := MayLaunch(limits, Usage{}, waiting(1), noon); got.Kind != Quota {
		t.Errorf("launch: got %q, want %q", got.Kind, Quota)
	}
}

// A big job is never overtaken: whoever waits behind it is told so.
func TestBigJobIsNotOvertaken(t *testing.T) {
	limits := Limits{Quota: 80 * fleet.Unit, Concurrent: 9, MaxProvisioning: 9}
	jobs := waiting(76*fleet.Unit, 2*fleet.Unit)
	usage := Usage{Weight: 10 * fleet.Unit}
	if id, reason := MayLaunch(limits, usage, jobs, noon); id.ID != 100 || reason.Kind != Quota {
		t.Errorf("head: got job %d, %q", id.ID, reason.Kind)
	}
	if reason := WhyWaiting(limits, usage, jobs, fleet.JobID{ID: 101}, noon); reason.Kind != Behind || reason.Job.ID != 100 {
		t.Errorf("second: got %q behind %d", reason.Kind, reason.Job.ID)
	}
	want := "the quota: 10 of 80 in use, 76 needed"
	if got := WhyWaiting(limits, usage, jobs, fleet.JobID{ID: 100}, noon).String(); got != want {
		t.Errorf("reason: got %q, want %q", got, want)
	}
}

// Whatever arrives and ends in whatever order, launching by the rules never exceeds a
// ceiling (I3), keeps the order of acquisition, and never stalls for good.
func TestCeilingsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{
			Quota:           fleet.Weight(rapid.IntRange(76_109, 300_000).Draw(t, "quota")),
			Concurrent:      rapid.IntRange(1, 12).Draw(t, "concurrent"),
			MaxProvisioning: rapid.IntRange(1, 5).Draw(t, "provisioning"),
		}
		sizes := []fleet.Weight{2378, 5657, 13454, 22335, 32000, 53121, 76109}
		var queue []Waiting
		var up []fleet.Weight
		provisioning, lastSeq, next := 0, int64(-1), int64(0)
		usage := func() Usage {
			u := Usage{Instances: len(up), Provisioning: provisioning}
			for _, w := range up {
				u.Weight += w
			}
			return u
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				queue = append(queue, Waiting{ID: fleet.JobID{ID: next + 1}, Seq: next, Weight: rapid.SampledFrom(sizes).Draw(t, "size")})
				next++
			case 1:
				provisioning = max(0, provisioning-1)
			case 2:
				if len(up) > 0 {
					i := rapid.IntRange(0, len(up)-1).Draw(t, "gone")
					up = append(up[:i], up[i+1:]...)
					provisioning = min(provisioning, len(up))
				}
			}
			for {
				id, reason := MayLaunch(limits, usage(), queue, noon)
				if !reason.OK() {
					break
				}
				if queue[0].ID != id || queue[0].Seq <= lastSeq {
					t.Fatalf("job %d launched out of order", id.ID)
				}
				lastSeq = queue[0].Seq
				up = append(up, queue[0].Weight)
				provisioning++
				queue = queue[1:]
			}
			u := usage()
			if u.Weight > limits.Quota || u.Instances > limits.Concurrent || u.Provisioning > limits.MaxProvisioning {
				t.Fatalf("a ceiling is exceeded: %+v over %+v", u, limits)
			}
		}
		up, provisioning = nil, 0
		if len(queue) > 0 {
			if _, reason := MayLaunch(limits, usage(), queue, noon); !reason.OK() {
				t.Fatalf("stalled though everything is free: %s", reason)
			}
		}
	})
}

func TestSize(t *testing.T) {
	s := Sizing{Default: "M", Variable: "CI_CLEVER_CLOUD_FLAVOR", Flavors: []fleet.Flavor{
		{Name: "XS", Weight: 2378}, {Name: "M", Weight: 13454}, {Name: "XL", Weight: 32000},
	}}
	limited := s
	limited.Max = "M"
	listed := s
	listed.Allowed = []string{"XS", "M"}
	both := limited
	both.Allowed = []string{"M", "XL"}
	big := s
	big.Default = "XL"
	for _, c := range []struct {
		name   string
		sizing Sizing
		asked  string
		quota  fleet.Weight
		want   string
		refuse string
	}{
		{"default", s, "", 50000, "M", ""},
		{"asked", s, "XS", 50000, "XS", ""},
		{"unknown", s, "XXL", 50000, "", `flavor "XXL" is not available. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, M, XL.`},
		{"unknown: the list holds what may run", limited, "m", 13000, "", `flavor "m" is not available. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS.`},
		{"above the maximum", limited, "XL", 50000, "", "flavor XL is larger than this runner allows (at most M). Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, M; or use another runner."},
		{"in the list", listed, "XS", 50000, "XS", ""},
		{"not in the list", listed, "XL", 50000, "", "flavor XL is not one that this runner allows. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, M; or use another runner."},
		{"in the list, and above the maximum", both, "XL", 50000, "", "flavor XL is larger than this runner allows (at most M), though it is in the list of its flavors. Set CI_CLEVER_CLOUD_FLAVOR to one of: M; or use another runner."},
		{"below the maximum, and not in the list", both, "XS", 50000, "", "flavor XS is not one that this runner allows. Set CI_CLEVER_CLOUD_FLAVOR to one of: M; or use another runner."},
		{"the default is above the quota", big, "", 31999, "", "this runner's default flavor XL weighs 32, more than the whole quota of this service (31.999): it can never run here. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, M."},
		{"above the quota", s, "XL", 31999, "", "flavor XL weighs 32, more than the whole quota of this service (31.999): it can never run here. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, M."},
	} {
		got, err := Size(c.sizing, c.asked, c.quota)
		if c.refuse == "" && (err != nil || got.Name != c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.name, got.Name, err, c.want)
		}
		if c.refuse != "" && (err == nil || err.Error() != c.refuse) {
			t.Errorf("%s: got %v; want %s", c.name, err, c.refuse)
		}
	}
}

func TestBounds(t *testing.T) {
	s := Sizing{Flavors: []fleet.Flavor{{Name: "XS", Weight: 2}, {Name: "M", Weight: 13}, {Name: "XL", Weight: 32}}}
	if small, large, ok := Bounds(s, 100); !ok || small != 2 || large != 32 {
		t.Errorf("all: got %d, %d, %v", small, large, ok)
	}
	if small, large, ok := Bounds(s, 20); !ok || small != 2 || large != 13 {
		t.Errorf("under a small quota: got %d, %d, %v", small, large, ok)
	}
	listed := s
	listed.Allowed, listed.Max = []string{"M", "XL", "none such"}, "M"
	if small, large, ok := Bounds(listed, 100); !ok || small != 13 || large != 13 {
		t.Errorf("listed: got %d, %d, %v", small, large, ok)
	}
	s.Max = "none such"
	if _, _, ok := Bounds(s, 100); ok {
		t.Error("a maximum that is not offered allows nothing")
	}
}
