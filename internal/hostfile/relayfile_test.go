// SPDX-License-Identifier: Apache-2.0

package hostfile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
)

func TestParseRelayGivesBackWhatWasRendered(t *testing.T) {
	t.Parallel()
	h := host()
	files, err := hostfile.Render(h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := hostfile.ParseRelay(files)
	if err != nil {
		t.Fatal(err)
	}
	want := hostfile.Relay{
		Coordinator: h.Coordinator, JobID: h.JobID, Key: h.Key, RunnerName: h.RunnerName, StandIn: h.StandIn,
		NoticeBearer: h.NoticeBearer, PrefixBytes: 123, PrefixCRC32: 0x0a1b2c3d, AcquiredAt: h.AcquiredAt, Timeout: time.Hour,
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestParseRelayWithoutOne(t *testing.T) {
	t.Parallel()
	h := host()
	h.Mode = hostfile.ModeExecFetchedJob
	files, err := hostfile.Render(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hostfile.ParseRelay(files); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("got %v: want %v", err, fleet.ErrNotFound)
	}
}

func TestParseRelayRefuses(t *testing.T) {
	t.Parallel()
	files, err := hostfile.Render(host())
	if err != nil {
		t.Fatal(err)
	}
	var good string
	for _, f := range files {
		if f.Path == hostfile.RelayFile {
			good = string(f.Data)
		}
	}
	for _, c := range []struct{ old, new string }{
		{`"version": 1`, `"version": 2`},
		{`"version": 1`, `"version": "1"`},
		{`"https://foss.heptapod.test"`, `"file:///etc"`},
		{`"0a1b2c3d"`, `"0a1b2c3d4"`},
		{`"0a1b2c3d"`, `"-a1b2c3d"`},
		{`100001,`, `-1,`},
		{`"prefix_bytes": 123`, `"prefix_bytes": -1`},
		{`"timeout_seconds": 3600`, `"timeout_seconds": 9223372036854775807`},
		{`2026-11-20`, `yesterday `},
		{`{`, `[`},
		{`{`, strings.Repeat(" ", 1<<20) + `{`},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%q is not in:\n%s", c.old, good)
		}
		if got, err := hostfile.ParseRelay([]fleet.File{{Path: hostfile.RelayFile, Data: []byte(bad)}}); err == nil {
			t.Errorf("%.20q for %.20q is accepted: %+v", c.new, c.old, got)
		}
	}
}

func FuzzParseRelay(f *testing.F) {
	files, err := hostfile.Render(host())
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(file.Data)
	}
	f.Add([]byte(`{"version":1,"coordinator":"https://x","job_id":1,"prefix_crc32":"00000000","notice":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := hostfile.ParseRelay([]fleet.File{{Path: hostfile.RelayFile, Data: data}})
		if err != nil {
			return
		}
		if got.JobID <= 0 || got.PrefixBytes < 0 || got.Timeout < 0 {
			t.Errorf("accepted: %+v", got)
		}
		if normal, err := fleet.NormalizeURL(got.Coordinator); err != nil || normal != got.Coordinator {
			t.Errorf("coordinator %q is not normal: %q, %v", got.Coordinator, normal, err)
		}
	})
}
