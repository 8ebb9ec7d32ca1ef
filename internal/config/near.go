// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// mostEdits is how unlike two words may be and still be taken for one.
const mostEdits = 3

// hint is " (did you mean X?)" for the word that is most like s, or "".
func hint(s string, words []string) string {
	if word := nearest(s, words); word != "" {
		return fmt.Sprintf(" (did you mean %s?)", word)
	}
	return ""
}

// nearest gives the word that s is most likely meant to be, or "". Case does not count,
// and a short word must be met more closely than a long one. Of equals the first wins.
func nearest(s string, words []string) string {
	best, least := "", mostEdits+1
	for _, word := range words {
		allowed := min(mostEdits, max(1, len(word)/3))
		if len(word)-len(s) > allowed || len(s)-len(word) > allowed {
			continue
		}
		if d := distance(strings.ToLower(s), strings.ToLower(word)); d <= allowed && d < least {
			best, least = word, d
		}
	}
	return best
}

// distance is the number of edits between two words: a character more, less or other, or
// two neighbours swapped.
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
