// SPDX-License-Identifier: Apache-2.0

package fleet

import "testing"

func TestPythonKeys(t *testing.T) {
	for token, want := range map[string]string{
		"D3adNQYu8OCjkYDbwDaG": "hpd-job-D3adNQYu-275833",
		"glrt-t3_abcdefgh":     "hpd-job-glrt-t3_-275833",
		"glrt--a-x":            "hpd-job-glrt--a--275833",
		"short":                "hpd-job-short-275833",
	} {
		key := PythonKey(PythonMark(token), 275833)
		if mark, id, ok := ParsePythonKey(key); key != want || !ok || mark != PythonMark(token) || id != 275833 {
			t.Errorf("%s: key %q is read as %q, %d, %v", token, key, mark, id, ok)
		}
	}
	for _, other := range []string{
		"", "hpd-job-", "hpd-job--1", "hpd-job-D3adNQYu", "hpd-job-D3adNQYu-", "hpd-job-D3adNQYu-0", "hpd-job-D3adNQYu-01",
		"hpd-job-D3adNQYu-1x", "x-hpd-job-D3adNQYu-1", "hpd-job-D3adNQYu8-1", Owner("abcdefg234").Key(42),
	} {
		if mark, id, ok := ParsePythonKey(other); ok {
			t.Errorf("%q is taken for job %d of %q", other, id, mark)
		}
	}
}

// No name is both ours and the Python program's.
func FuzzParsePythonKey(f *testing.F) {
	f.Add("hpd-job-D3adNQYu-275833")
	f.Add("hpd-job-abcdefg234-42")
	f.Fuzz(func(t *testing.T, key string) {
		mark, id, python := ParsePythonKey(key)
		if _, _, ours := ParseKey(key); ours && python {
			t.Errorf("%q is ours and the Python program's", key)
		}
		if python && PythonKey(mark, id) != key {
			t.Errorf("%q was accepted, but is written %q", key, PythonKey(mark, id))
		}
	})
}
