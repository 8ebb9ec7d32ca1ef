// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMaskerHidesSecretsHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	tests := []struct {
		secrets, prefixes []string
		in, want          string
	}{
		{[]string{"s3cr3t"}, nil, "a s3cr3t b s3cr3t", "a [MASKED] b [MASKED]"},
		{[]string{"s3cr3t"}, nil, "s3cr3", "s3cr3"},
		{[]string{"aab"}, nil, "aaab aab", "a[MASKED] [MASKED]"},
		{[]string{"abc", "abcdef"}, nil, "abcde abcdef", "[MASKED]de [MASKED]"},
		{[]string{"line1\nline2"}, nil, "x line1\nline2 y", "x [MASKED] y"},
		{nil, []string{"glpat-"}, "t=glpat-AbC_1-2! glpa glpat-", "t=glpat-[MASKED]! glpa glpat-[MASKED]"},
		{[]string{"glcbt-64_X"}, []string{"glcbt-"}, "glcbt-64_X glcbt-9", "[MASKED] glcbt-[MASKED]"},
		{nil, nil, "\x00\xffplain\n", "\x00\xffplain\n"},
	}
	for _, tt := range tests {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 1))
			m := newMasker(tt.secrets, tt.prefixes)
			var got strings.Builder
			for rest := tt.in; rest != ""; {
				n := 1 + random.IntN(len(rest))
				got.Write(m.write([]byte(rest[:n])))
				rest = rest[n:]
			}
			got.Write(m.flush())
			if got.String() != tt.want {
				t.Fatalf("%q with %q %q, seed %d: got %q, want %q", tt.in, tt.secrets, tt.prefixes, seed, got.String(), tt.want)
			}
		}
	}
}

func TestMaskerHoldsBackOnlyWhatMayBeASecret(t *testing.T) {
	t.Parallel()
	m := newMasker([]string{"s3cr3t"}, nil)
	if got := string(m.write([]byte("progress 10% s3"))); got != "progress 10% " {
		t.Errorf("shown at once: %q", got)
	}
	if got := string(m.write([]byte("x"))); got != "s3x" {
		t.Errorf("shown then: %q", got)
	}
}

func FuzzMasker(f *testing.F) {
	f.Add("secret", "glpat-", "a secret glpat-x", uint8(3))
	f.Fuzz(func(t *testing.T, secret, prefix, text string, cut uint8) {
		if secret == "" || strings.Contains(masked, secret) {
			return
		}
		whole, parts := newMasker([]string{secret}, []string{prefix}), newMasker([]string{secret}, []string{prefix})
		want := string(whole.write([]byte(text))) + string(whole.flush())
		n := min(int(cut), len(text))
		got := string(parts.write([]byte(text[:n]))) + string(parts.write([]byte(text[n:]))) + string(parts.flush())
		if got != want {
			t.Errorf("cut at %d: %q, whole: %q", n, got, want)
		}
	})
}

func TestExpand(t *testing.T) {
	t.Parallel()
	values := map[string]string{"A": "1", "B": "$A$A", "LOOP": "$LOOP"}
	for in, want := range map[string]string{
		"$A": "1", "${A}x": "1x", "$B": "11", "$NONE!": "!", "${A": "${A", "cost $ 5": "cost $ 5", "$LOOP": "$LOOP", "$1": "$1", "$$A": "$$A",
	} {
		if got := expand(in, values); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}
