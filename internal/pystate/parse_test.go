// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestGenerations(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		generation                           string
		launched, pending, ended, standingBy int
	}{
		"0.5.json": {"0.5", 1, 1, 0, 0},
		"0.6.json": {"0.6", 3, 5, 2, 0},
		"0.8.json": {"0.8 or newer", 3, 1, 0, 1},
	} {
		s, err := Parse(testdata(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Generation != want.generation || len(s.Launched) != want.launched || len(s.Pending) != want.pending ||
			len(s.ToDecommission) != want.ended || len(s.Standby) != want.standingBy {
			t.Errorf("%s: %s with %d, %d, %d and %d handles", name, s.Generation, len(s.Launched), len(s.Pending), len(s.ToDecommission), len(s.Standby))
		}
	}
}

func TestKindsOfResource(t *testing.T) {
	t.Parallel()
	s, err := Parse(testdata(t, "0.8.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Resource{
		{Kind: KindService, ID: "app_301", Weight: 5.656854249492381, Launched: true},
		{Kind: KindLocal, ID: "hpd-job-d3adnqyu-302", Launched: true},
		{Kind: KindTest, ID: "test", Launched: true},
	} {
		if got := s.Launched[i].Resource; got == nil || *got != want {
			t.Errorf("resource %d: %+v, want %+v", i, got, want)
		}
	}
	if p := s.Pending[0]; string(p.Payload) != `{"id": 304, "token": "CANARY-4"}` || p.Resource.Launched {
		t.Errorf("pending: %+v", p)
	}
}

// What is not such a file is refused with what was found, and with no secret in it.
func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	handle := func(fields string) string { return `{"launched": [{` + fields + `}], "pending": []}` }
	good := `"runner_name": "abcdefgh", "job_id": 1, "token": "CANARY"`
	whole := string(testdata(t, "0.6.json"))
	for text, want := range map[string]string{
		"":                                      "cut off after 0 bytes",
		whole[:len(whole)/2]:                    "cut off after",
		whole + whole:                           "something stands after the end",
		`[{"token": "CANARY"}]`:                 "found a list, want an object with the keys launched and pending",
		`null`:                                  "found null, want",
		`{}`:                                    "an object with the keys (none): launched is missing",
		`{"a": 1, "launched": 2}`:               `an object with the keys "a", "launched": pending is missing`,
		`{"launched": {}, "pending": "CANARY"}`: "launched: found an object, want a list\npending: found a text, want a list",
		"{\n \"launched\": [CANARY]}":           "not JSON at byte 17 (line 2)",
		`{"launched": [3], "pending": []}`:      "launched[0]: found a number, want an object",
		`{"launched": [], "pending": [{}]}`:     "pending[0]: found an object, want a pair of a handle and a job",
		`{"launched": [], "pending": [[1, 2, 3]]}`:                              "pending[0]: found a list, want a pair",
		handle(`"job_id": 1, "token": "CANARY"`):                                "launched[0].runner_name: found nothing, want a text without blanks",
		handle(`"runner_name": "a b", "job_id": 1, "token": "CANARY"`):          "runner_name: found a text, want a text without blanks",
		handle(`"runner_name": "abcdefgh", "job_id": "CANARY", "token": "t"`):   "launched[0].job_id: found a text, want a whole number",
		handle(`"runner_name": "abcdefgh", "job_id": 1.5, "token": "t"`):        "job_id: found 1.5, want a whole number, at least 1",
		handle(`"runner_name": "abcdefgh", "job_id": 0, "token": "t"`):          "job_id: found 0, want a whole number, at least 1",
		handle(`"runner_name": "abcdefgh", "job_id": 1, "token": {"CANARY":1}`): "token: found an object, want a text",
		handle(good + `, "trace_offset": -1`):                                   "trace_offset: found -1, want a whole number, at least 0",
		handle(good + `, "expected_weight": "heavy"`):                           "expected_weight: found a text, want a weight",
		handle(good + `, "expected_weight": 1e300`):                             "expected_weight: found 1e300, want a weight, a number from 0 to 1000000",
		handle(good + `, "paas_resource": 7`):                                   "launched[0].paas_resource: found a number, want an object or a text",
		handle(good + `, "paas_resource": {}`):                                  "launched[0].paas_resource.id: found nothing, want a text",
		handle(good + `, "paas_resource": {"id": "x", "launched": 1}`):          "paas_resource.launched: found a number, want true or false",
		handle(good + `, "paas_resource": {"id": "x", "gitlab_namespace": 3}`):  "paas_resource.gitlab_namespace: found a number",
		`{"launched": [` + strings.Repeat("1,", 8) + `1], "pending": []}`:       "and 4 more",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%.80s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// Whatever the bytes, the parser answers, and what it takes holds.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"0.5.json", "0.6.json", "0.8.json"} {
		f.Add(testdata(f, name))
	}
	f.Add([]byte(`{"launched": [{"runner_name": "a", "job_id": 1, "token": "t", "paas_resource": "x"}], "pending": [[{}, null]]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Parse(raw)
		if err != nil {
			return
		}
		all := append(append([]Handle{}, s.Launched...), s.ToDecommission...)
		for _, p := range s.Pending {
			all = append(all, p.Handle)
		}
		all = append(all, s.Standby...)
		for _, h := range all {
			if h.JobID <= 0 || h.RunnerName == "" || h.Token.Empty() || h.TraceOffset < 0 || h.Resource != nil && h.Resource.ID == "" {
				t.Errorf("accepted %+v", h)
			}
		}
		change, err := Plan(s, settings(t))
		if err != nil {
			return
		}
		jobs := map[jobKey]bool{}
		for _, h := range all {
			jobs[jobKey{h.RunnerName, h.JobID}] = true
		}
		var report Report
		if err := json.Unmarshal([]byte(change.Meta[reportKey]), &report); err != nil || len(report.Lines) != len(jobs) {
			t.Errorf("the report tells of %d jobs out of %d, %v", len(report.Lines), len(jobs), err)
		}
	})
}
