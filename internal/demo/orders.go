// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// order is a job that we queue, when we cancel it, and how it must end.
type order struct {
	name     string
	flavor   string // asked for; "" leaves it to the runner
	spec     spec
	cancelIf func(sight) bool // nil = never
	want     want
}

// want is how a job must end. What the trace contains is written so that the echo of
// a command differs from its output.
type want struct {
	status   string
	reason   string
	exitCode int
	flavor   string // of the instance; "" = there must be none
	contains []string
	lacks    []string
	parked   bool // it waited for room
	unrun    bool // its script never began
}

const (
	longLine  = 100_000
	manyLines = 3_000
	secret    = "demo-secret-4711"
)

// orders are the jobs in the order in which they are queued. The quota is 4 M (53.8):
// everything before "big" fits at once, and while "slow" (L, 22.3) and "after-script"
// (S, 5.7) are there, "big" (XL, 32) does not.
func orders() []order { return slices.Concat(smallOnes(), bigAndLater()) }

func smallOnes() []order {
	return []order{
		{
			name: "hello", flavor: "XS",
			spec: spec{Script: []string{`echo "hello from job $CI_JOB_ID, answer $((40 + 2))"`}},
			want: want{status: "success", flavor: "XS", contains: []string{", answer 42"}},
		},
		{
			name: "after-script", flavor: "S",
			spec: spec{
				Script: []string{
					`echo "working-$((40 + 2))"`,
					`i=0; while [ $i -lt 60 ]; do i=$((i + 1)); echo "tick $i"; sleep 1; done`,
					`echo "too-late-$((40 + 2))"`,
				},
				AfterScript: []string{`echo "cleaned-up-$((40 + 2))"`},
			},
			cancelIf: func(s sight) bool { return strings.Contains(s.job.Trace, "working-42") },
			want: want{
				status: "canceled", flavor: "S",
				contains: []string{"working-42", "cleaned-up-42"}, lacks: []string{"too-late-42"},
			},
		},
		{
			name: "fails", flavor: "XS",
			spec: spec{Script: []string{`echo "about to fail"`, "exit 3", `echo "too-late-$((40 + 2))"`}},
			want: want{status: "failed", reason: "script_failure", exitCode: 3, flavor: "XS", lacks: []string{"too-late-42"}},
		},
		{
			name: "typo", flavor: "XXL",
			spec: spec{Script: []string{`echo "never-$((40 + 2))"`}},
			want: want{
				status: "failed", reason: "script_failure", unrun: true,
				contains: []string{`"XXL"`, "XS, S, M, L, XL"}, lacks: []string{"never-42"},
			},
		},
		{
			name: "utf-8", flavor: "S",
			spec: spec{Script: []string{
				`echo "Grüße, 世界, 🚀: $((40 + 2))"`,
				fmt.Sprintf(`head -c %d /dev/zero | tr '\0' x; echo`, longLine),
			}},
			want: want{status: "success", flavor: "S", contains: []string{"Grüße, 世界, 🚀: 42", strings.Repeat("x", longLine) + "\n"}},
		},
		{
			name: "cancel-boot", flavor: "M",
			spec:     spec{Script: []string{`echo "never-$((40 + 2))"`}},
			cancelIf: func(s sight) bool { return s.app.State == "booting" },
			want:     want{status: "canceled", flavor: "M", unrun: true, lacks: []string{"never-42"}},
		},
	}
}

func bigAndLater() []order {
	return []order{
		{
			name: "slow", flavor: "L",
			spec: spec{Script: []string{"sleep 5", `echo "slow-$((40 + 2))"`}},
			want: want{status: "success", flavor: "L", contains: []string{"slow-42"}},
		},
		{
			name: "big", flavor: "XL",
			spec: spec{Script: []string{`echo "big-$((40 + 2))"`}},
			want: want{status: "success", flavor: "XL", parked: true, contains: []string{"big-42"}},
		},
		{
			name: "variables", // of the default flavor
			spec: spec{
				BeforeScript: []string{`echo "before-$((40 + 2))"`},
				Script:       []string{`cat "$GREETING"`, `echo "the token is $TOKEN"`},
				AfterScript:  []string{`echo "after-$((40 + 2))"`},
				Variables: map[string]variable{
					"GREETING": {Value: "read from a file\n", File: true},
					"TOKEN":    {Value: secret, Masked: true},
				},
			},
			want: want{
				status: "success", flavor: "M",
				contains: []string{"before-42", "read from a file", "the token is [MASKED]", "after-42"}, lacks: []string{secret},
			},
		},
		{
			name: "many-lines", flavor: "S",
			spec: spec{Script: []string{fmt.Sprintf(`i=1; while [ $i -le %d ]; do echo "line $i"; i=$((i + 1)); done`, manyLines)}},
			want: want{status: "success", flavor: "S", contains: []string{lines()}},
		},
	}
}

// lines is the output of many-lines.
func lines() string {
	var b strings.Builder
	for i := range manyLines {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}

// queued is the spec as it is queued: with the flavor as a variable.
func (o order) queued() spec {
	s := o.spec
	vars := map[string]variable{}
	maps.Copy(vars, s.Variables)
	if o.flavor != "" {
		vars["CI_CLEVER_CLOUD_FLAVOR"] = variable{Value: o.flavor}
	}
	s.Variables = vars
	return s
}
