// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"strconv"
	"strings"
)

// maxOffset is far beyond any trace and far below where additions overflow.
const maxOffset = int64(1) << 50

// parseContentRange reads the "start-end" of a trace append: no unit, no total,
// the end inclusive. Coordinators use the start only, and so does the relay.
func parseContentRange(text string) (start int64, ok bool) {
	first, last, found := strings.Cut(text, "-")
	start, ok = parseOffset(first)
	if !found || !ok {
		return 0, false
	}
	_, ok = parseOffset(last)
	return start, ok
}

func contentRange(start int64, length int) string {
	return fmt.Sprintf("%d-%d", start, start+int64(length)-1)
}

// parseRange reads the Range of an answer: "0-SIZE", where SIZE is the trace's
// size and so the next offset.
func parseRange(text string) (size int64, ok bool) {
	last, found := strings.CutPrefix(text, "0-")
	if !found {
		return 0, false
	}
	return parseOffset(last)
}

func sizeRange(size int64) string { return "0-" + strconv.FormatInt(size, 10) }

func parseOffset(text string) (int64, bool) {
	if text == "" || text[0] < '0' || text[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n <= maxOffset
}
