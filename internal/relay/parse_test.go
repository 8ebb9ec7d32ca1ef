// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0-0": 0, "1-1": 1, "103-990": 103, "7-3": 7} {
		if got, ok := parseContentRange(text); !ok || got != want {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "1", "-1", "1-", "-1-2", "+1-2", " 1-2", "1-2 ", "a-b", "bytes 0-1", "0-1/2", "1--2",
		"99999999999999999999-1", "9007199254740993-9007199254740994", "0x1-2", "1_0-20"} {
		if got, ok := parseContentRange(text); ok {
			t.Errorf("%q: %d, want refused", text, got)
		}
	}
	for _, text := range []string{"", "0-", "1-2", "-5", "0--1", "0-1-2", "bytes=0-1"} {
		if got, ok := parseRange(text); ok {
			t.Errorf("Range %q: %d, want refused", text, got)
		}
	}
}

func TestTheTimeoutIsCutInPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`{"runner_info":{"timeout":3600}}`, `{"runner_info":{"timeout":90}}`},
		{`{ "runner_info" : { "a":[{"timeout":1e3}], "timeout" :  3600, "z":null } }` + "\n", `{ "runner_info" : { "a":[{"timeout":1e3}], "timeout" :  90, "z":null } }` + "\n"},
		{`{"runner_info":{"timeout":60}}`, `{"runner_info":{"timeout":60}}`},
		{`{"runner_info":{"timeout":null}}`, `{"runner_info":{"timeout":null}}`},
		{`{"runner_info":{"timeout":"3600"}}`, `{"runner_info":{"timeout":"3600"}}`},
		{`{"runner_info":null,"timeout":3600}`, `{"runner_info":null,"timeout":3600}`},
		{`{"a":{"runner_info":{"timeout":3600}}}`, `{"a":{"runner_info":{"timeout":3600}}}`},
		{`{"steps":[{"timeout":3600}],"Runner_Info":{"TIMEOUT":3600}}`, `{"steps":[{"timeout":3600}],"Runner_Info":{"TIMEOUT":90}}`},
		{`{"runner_info":{"timeout":3600},"runner_info":{"timeout":7200}}`, `{"runner_info":{"timeout":90},"runner_info":{"timeout":90}}`},
		{`{"s":"{\"runner_info\":{\"timeout\":3600}}","n":1.0e5,"u":"\u00e9é"}`, `{"s":"{\"runner_info\":{\"timeout\":3600}}","n":1.0e5,"u":"\u00e9é"}`},
		{`{}`, `{}`},
	} {
		got, err := cutTimeout([]byte(c.in), 90*time.Second)
		if err != nil || string(got) != c.want {
			t.Errorf("%s\ngot  %s %v\nwant %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "[]", "1", `{"runner_info":{"timeout":1}`, `{} {}`, `{"a":}`} {
		if got, err := cutTimeout([]byte(in), time.Second); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
}

// The recorded relay's base of 103 bytes gives the recorded checksum, in place.
func TestTheRecordedChecksumComesOut(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "wire", "33-relay-manager-wrote-trace-first.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	var own []byte
	for _, e := range r.Exchanges[1:3] {
		own = append(own, e.Request.bytes(t)...)
	}
	tr := &trace{head: section{known: true}, length: int64(len(own))}
	first := r.Exchanges[0].Request.bytes(t)
	tr.head = tr.head.then(crcOf(first), int64(len(first)))
	u, err := parseUpdate([]byte(`{"state":"success", "checksum":"` + checksum(string(own)) + `","output":{"checksum":"` + checksum(string(own)) + `","bytesize":1145},"x":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := tr.whole(u)
	want := `{"state":"success", "checksum":"crc32:9999259c","output":{"checksum":"crc32:9999259c","bytesize":1248},"x":[1]}`
	if err != nil || string(got) != want {
		t.Errorf("%s %v\nwant %s", got, err, want)
	}
}

func crcOf(b []byte) uint32 {
	return combineCRC(0, mustCRC(string(b)), int64(len(b)))
}

func mustCRC(text string) uint32 {
	var crc uint32
	for _, c := range checksum(text)[len("crc32:"):] {
		crc = crc<<4 | uint32(strings.IndexRune("0123456789abcdef", c))
	}
	return crc
}

const goodSettings = `{"version":1,"coordinator":"https://gitlab.example/sub/","job_id":7,"key":"k","job_file":"job.json","runner_file":"runner.toml",
"runner_name":"r","stand_in_token":"s","url_placeholder":"u","network_placeholder":"n","prefix_bytes":3,"prefix_crc32":"0a1b2c3d",
"acquired_at":"2026-01-02T03:04:05Z","timeout_seconds":3600,"wait_timeout_seconds":60,"sub_runner":["gitlab-runner"],"notice":null,"docker":{"subnet":""}}`

func TestSettings(t *testing.T) {
	t.Parallel()
	s, err := parseSettings([]byte(goodSettings))
	if err != nil {
		t.Fatal(err)
	}
	if s.base.String() != "https://gitlab.example/sub" || s.crc != 0x0a1b2c3d || !s.serverLimit().Equal(time.Date(2026, 1, 2, 4, 19, 5, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
	for old, bad := range map[string]string{
		`"version":1`:                                 `"version":2`,
		`"https://gitlab.example/sub/"`:               `"ftp://gitlab.example"`,
		`"coordinator":"https://gitlab.example/sub/"`: `"coordinator":"https://user:pw@gitlab.example"`,
		`"job_id":7`:                                  `"job_id":0`,
		`"job_file":"job.json"`:                       `"job_file":""`,
		`"runner_name":"r"`:                           `"runner_name":""`,
		`"stand_in_token":"s"`:                        `"stand_in_token":""`,
		`"url_placeholder":"u"`:                       `"url_placeholder":""`,
		`"prefix_bytes":3`:                            `"prefix_bytes":-3`,
		`"0a1b2c3d"`:                                  `"a1b2c3d"`,
		`"acquired_at":"2026-01-02T03:04:05Z"`:        `"x":1`,
		`"timeout_seconds":3600`:                      `"timeout_seconds":9999999999`,
		`"wait_timeout_seconds":60`:                   `"wait_timeout_seconds":0`,
		`["gitlab-runner"]`:                           `[]`,
		`{"version":1`:                                `{`,
	} {
		if !strings.Contains(goodSettings, old) {
			t.Fatalf("%s is not in the example", old)
		}
		if _, err := parseSettings([]byte(strings.Replace(goodSettings, old, bad, 1))); err == nil {
			t.Errorf("%s: want an error", bad)
		}
	}
}

func TestAJobsFacts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"payload-docker.json", "payload-docker-service.json", "payload-shell-git-artifacts-dependency.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", "wire", name))
		if err != nil {
			t.Fatal(err)
		}
		j, err := parseJob(text)
		if err != nil || j.id == 0 || !strings.HasPrefix(j.token, "glcbt-") {
			t.Errorf("%s: %+v %v", name, j, err)
			continue
		}
		if got := redact("x s3cr3t-lab-value y", j.hidden); strings.Contains(name, "service") && got != "x [redacted] y" {
			t.Errorf("%s: %s", name, got)
		}
		if _, ok := j.dependencies[900]; !ok && strings.Contains(name, "dependency") {
			t.Errorf("%s: dependencies %v", name, j.dependencies)
		}
	}
	if _, err := parseJob([]byte(`{"id":1}`)); err == nil {
		t.Error("a job without token: want an error")
	}
}

func TestTheSubRunnersEnvironment(t *testing.T) {
	t.Parallel()
	got := environment([]string{"A=1", "NO_PROXY=internal.example", "HTTP_PROXY=http://proxy"}, "172.18.0.2")
	want := []string{"NO_PROXY=internal.example,172.18.0.2", "no_proxy=172.18.0.2", "A=1", "HTTP_PROXY=http://proxy"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"0-0", "1-1", "103-990", "-", "", "9-", "00-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start, ok := parseContentRange(text)
		if !ok {
			return
		}
		if start < 0 || start > maxOffset {
			t.Errorf("%q: %d", text, start)
		}
		if again, ok := parseContentRange(contentRange(start, 1)); !ok || again != start {
			t.Errorf("%q: %d, then %d %v", text, start, again, ok)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"0-0", "0-1982", "1-2", "0-", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, ok := parseRange(text)
		if !ok {
			return
		}
		if again, ok := parseRange(sizeRange(size)); !ok || again != size || size < 0 || size > maxOffset {
			t.Errorf("%q: %d, then %d %v", text, size, again, ok)
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(goodSettings))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSettings(text)
		if err != nil {
			return
		}
		if s.JobID <= 0 || s.base.Host == "" || len(s.SubRunner) == 0 || s.serverLimit().Before(s.AcquiredAt) && s.TimeoutSeconds > 0 {
			t.Errorf("accepted %s", text)
		}
	})
}

// Whatever the payload: what comes out differs from it in the timeouts only, and
// none of them is longer than what is left.
func FuzzCutTimeout(f *testing.F) {
	for _, s := range []string{
		`{"runner_info":{"timeout":3600}}`, `{"RUNNER_INFO":{"timeout":1,"x":[{}]}, "a":"\u0000"}`, `{"runner_info":{"timeout":-1}}`, `{"":{"":{"":{"":{"":1}}}}}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		const left = 1000 * time.Second
		out, err := cutTimeout(payload, left)
		var before, after map[string]any
		if json.Unmarshal(payload, &before) != nil {
			if err == nil {
				t.Errorf("accepted %q, which is no object", payload)
			}
			return
		}
		if err != nil || before == nil {
			return
		}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q became %q: %v", payload, out, err)
		}
		var timed struct {
			RunnerInfo struct {
				Timeout int64 `json:"timeout"`
			} `json:"runner_info"`
		}
		if json.Unmarshal(out, &timed) == nil && timed.RunnerInfo.Timeout > int64(left/time.Second) {
			t.Errorf("%q became %q: %d", payload, out, timed.RunnerInfo.Timeout)
		}
		same, err := editJSON(payload, []string{"runner_info.timeout"}, func(_, old string) string { return old })
		if err != nil || !bytes.Equal(same, payload) {
			t.Errorf("%q became %q without an edit: %v", payload, same, err)
		}
	})
}

func FuzzUpdate(f *testing.F) {
	f.Add([]byte(`{"state":"success","checksum":"crc32:9999259c","output":{"checksum":"crc32:9999259c","bytesize":1248}}`))
	f.Add([]byte(`{"output":null,"checksum":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		u, err := parseUpdate(body)
		if err != nil {
			return
		}
		tr := &trace{head: section{size: 10, crc: 1, known: true}}
		out, err := tr.whole(u)
		if err == nil && !json.Valid(out) {
			t.Errorf("%q became %q", body, out)
		}
	})
}
