// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"strings"
	"testing"
	"unicode"
)

// FuzzLines: whatever a job, a coordinator or a cloud says, what we write into a job's log of
// it is one line that drives no terminal and opens no section.
func FuzzLines(f *testing.F) {
	for _, text := range []string{
		"", "pulling image", "no such flavor \x1b[31mXXL\x1b[0m", "a\nb\r\nc", "section_start:1:x\r\x1b[0K", "\u009b31m", "\u202e\u2028\ufeff", "\xff\xfe", "x\ty", "\x1b]0;title\a", strings.Repeat("x", 9000),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range []struct{ out, begin, end string }{{line(text), lineStart, "\n"}, {failureLine(text), failStart, failEnd}} {
			inner, begins := strings.CutPrefix(l.out, l.begin)
			inner, ends := strings.CutSuffix(inner, l.end)
			if !begins || !ends || strings.ContainsFunc(inner, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", l.out)
			}
		}
	})
}
