// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"strconv"
	"strings"
)

const markLen = 8

// PythonMark is what the Python program of this name calls a runner, and puts into the
// names of its instances: the first 8 characters of its token. Two registrations may
// have the same one.
func PythonMark(runnerToken string) string {
	chars := []rune(runnerToken)
	return string(chars[:min(markLen, len(chars))])
}

// PythonKey is the name that the Python program gives to a job's instance.
func PythonKey(mark string, jobID int64) string {
	return keyPrefix + mark + "-" + strconv.FormatInt(jobID, 10)
}

// ParsePythonKey takes a name apart that PythonKey can have made, and is none of ours.
func ParsePythonKey(key string) (mark string, jobID int64, ok bool) {
	rest, found := strings.CutPrefix(key, keyPrefix)
	cut := strings.LastIndexByte(rest, '-') // the mark itself may hold one
	if !found || cut < 1 {
		return "", 0, false
	}
	mark = rest[:cut]
	id, err := strconv.ParseInt(rest[cut+1:], 10, 64)
	if err != nil || id <= 0 || PythonMark(mark) != mark || PythonKey(mark, id) != key {
		return "", 0, false
	}
	return mark, id, true
}
