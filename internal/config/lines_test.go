// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// mistakes are lines that are wrong in any file, by the table that they stand in, with the
// key that the problem is about.
func mistakes() map[string][][2]string {
	return map[string][][2]string{
		secGlobal: {
			{`check_interval = "often"`, "check_interval"}, {`"concurrent" = -1`, "concurrent"}, {`paas_finished_jobs_keep_resources = 1`, "paas_finished_jobs_keep_resources"},
			{`'listen_address' = "x"`, "listen_address"}, {`job_trace_watch.poll_step = [ 1 ] # x`, "poll_step"}, {`job_trace_watch = { timout_seconds = "x" }`, "timout_seconds"},
		},
		secQuota: {{`state_file = "x"`, "state_file"}, {`reference_jobs_cuont = 1`, "reference_jobs_cuont"}},
		secRunner: {
			{`cc_zon = "par"`, "cc_zon"}, {`limit = """` + "\n" + `url = "x" """`, "limit"}, {`"cc_default_flavor" = {}`, "cc_default_flavor"}, {`paas_owner = 'A'`, "paas_owner"},
			{`cc_extra_env.X = 1`, "X"}, {`paas_job_trace_watch = { timeout_seconds = 1, poll_step = "x" }`, "poll_step"}, {`docker.cc_token = "CANARY"`, "cc_token"},
		},
	}
}

// noise draws lines that mean nothing, and look like more.
func noise(t *rapid.T, i int) []string {
	return rapid.SampledFrom([][]string{
		nil, {""}, {"# cc_zone = 3"}, {"\t", "  # [[runners]]"}, {fmt.Sprintf(`x%d = """`, i), `cc_zone = 3`, `[[runners]]`, `\""" """ # "`},
		{fmt.Sprintf(`x%d = '''`, i), `limit = "'`, `'''`}, {fmt.Sprintf(`x%d = [`, i), `  "[runners]", # ]`, `  { a = "}" },`, `]`}, {fmt.Sprintf(`"x%d.cc_zone" = 1`, i)},
	}).Draw(t, "noise")
}

// The line of a problem is the one that the mistake stands in, whatever stands above it.
func TestProblemsNameTheLine(t *testing.T) {
	t.Parallel()
	parts := map[string][]string{
		secGlobal: {`state_file = "/s"`},
		secQuota:  {"[quota_computation]", `reference_runner = "a"`, `reference_flavor = "M"`, `reference_jobs_count = 2`},
		secRunner: {"[[runners]]", `name = "b"`, `url = "https://h"`, `token = "u"`, `executor = "clever-docker"`, `cc_orga_id = "o"`, `cc_token = "c"`},
	}
	order := []string{secGlobal, secQuota, "first", secRunner}
	parts["first"] = strings.Split(section[:strings.Index(section, "\n[runners.")], "\n")
	rapid.Check(t, func(r *rapid.T) {
		in := rapid.SampledFrom([]string{secGlobal, secQuota, secRunner}).Draw(r, "in")
		mistake := rapid.SampledFrom(mistakes()[in]).Draw(r, "mistake")
		after := rapid.IntRange(1, len(parts[in])).Draw(r, "after")
		var lines []string
		want, n := 0, 0
		for _, part := range order {
			for i, line := range parts[part] {
				n++
				lines = append(lines, noise(r, n)...)
				lines = append(lines, line)
				if part == in && i+1 == after {
					n++
					lines = append(lines, noise(r, n)...)
					want = len(lines) + 1
					lines = append(lines, strings.Split(mistake[0], "\n")...)
				}
			}
		}
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(r, "end")
		text := rapid.SampledFrom([]string{"", "\ufeff"}).Draw(r, "bom") + strings.Join(lines, end)
		_, err := read(text)
		found, ok := errors.AsType[*Error](err)
		if !ok || !slices.ContainsFunc(found.Problems, func(p Problem) bool { return p.Line == want && p.Key == mistake[1] }) || len(found.Problems) > 1 {
			r.Fatalf("want line %d, got %v in\n%s", want, err, text)
		}
		if strings.Contains(err.Error(), "CANARY") {
			r.Fatal("a secret is shown")
		}
	})
}
